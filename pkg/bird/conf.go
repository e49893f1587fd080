package bird

import (
	"fmt"
	"strings"

	"github.com/wgmesh/router/pkg/plan"
)

// A conf is the text of bird.conf as it is written, from top to bottom. Every part
// begins with an empty line where it needs one, and ends its last line.
//
// It is plain Go and no text/template: that one makes the linker keep every exported
// method of the program, which is 1.6 MB.
type conf struct{ strings.Builder }

func (o *conf) put(format string, args ...any) { _, _ = fmt.Fprintf(o, format, args...) }

func (o *conf) head(v view) {
	o.put(`# The routing of one router of the mesh, written by the Ansible module
# wgmesh.router.bird_config. A change made here by hand is taken back by the
# module's next run: change the inventory.
%s
log syslog all;

router id %s;

# The name of this very text. "birdc eval %[3]s" tells which text the
# daemon runs, also after an undo.
define %[3]s = "%[4]s";

# Since when and why everyone is asked to use another router than this one. Empty: it
# is not drained.
define %[5]s = "%[6]s";

# No "protocol direct": the networks of tunnels and subnets are nobody's
# business, and nothing below needs them as routes.
#
# The scan wakes BIRD's main loop once a second. Without a timer that is due,
# BIRD 2.0.12 can sleep for 3 s on routes that it has yet to send to a new
# session (sysdep/unix/io.c: work that queues an event does not end the sleep).
protocol device device1 {
	scan time 1;
}
`, v.Line(), v.RouterID, v.StampName, v.Stamp, plan.BirdDrain, v.Drain)
}

func (o *conf) kernel(f family) {
	learn, imports := "off", "none"
	if f.Follows {
		learn, imports = "on", "where net = "+f.Default
	}
	o.put(`
# ---- IPv%[1]s: kernel and own site ------------------------------------------------

protocol kernel kernel%[1]s {
	# BIRD does not hear of a route that others delete. The kernel itself deletes those
	# with krt_prefsrc when that address goes, as it does when a host's network is set up
	# anew (NetworkManager, netplan, a new DHCP lease).
	scan time 1;
	learn %[4]s;
	persist off;
	merge paths off;		# one path per prefix, so both directions agree
	graceful restart off;
	metric %[2]d;		# worse than any subnet that the host is connected to has
	%[3]s {
		import %[5]s;
`, f.N, f.Metric, f.Channel, learn, imports)
	o.exports(f)
	o.put(`	};
}

# The way into the own site. While a route here stands, it is announced.
`)
	if f.Anew != "" {
		o.put(`# A static protocol that BIRD 3 keeps through a configure hears of no interface any more
# (3.1 to 3.4). One of another name is new. Its routes come before those of the last one go.
`)
	}
	o.put(`protocol static site%s%s {
	check link on;		# a cable that is out is no way
	%s {
		import all;
		export none;
	};
`, f.N, f.Anew, f.Channel)
	for _, route := range f.Static {
		o.put("\t%s\n", route)
	}
	o.put("}\n")
	if len(f.Outside) > 0 {
		o.outside(f)
	}
}

func (o *conf) exports(f family) {
	if f.Source == "" && f.Local == "" {
		o.put("\t\texport all;\n")
		return
	}
	o.put("\t\texport filter {\n")
	if f.Local != "" {
		o.put(`			# The host is connected to all of these by a larger subnet, which no
			# route is to beat.
			if net ~ %s then reject;
`, f.Local)
	}
	if f.Source != "" {
		o.put(`			# The router's own packets carry its address in the site. The far
			# end has a route to that one, and none to a tunnel's.
			if source = RTS_BGP then krt_prefsrc = %s;
`, f.Source)
	}
	o.put("\t\t\taccept;\n\t\t};\n")
}

// outside has BIRD keep the host's default route for f.Outside. It hears within a second of
// another one, by an interface of another name too. A recursive route is that of its gateway,
// and the table has none for loopback but the default one.
func (o *conf) outside(f family) {
	o.put(`
# Ends of tunnels that are in another site's network. A rule has only the router's own
# packets look here (wgmesh-floor.service). What it forwards to them takes the tunnel.
%[2]s table outside%[1]s;

# They go by the host's default route, whichever that is just now.
protocol pipe outside_default%[1]s {
	table master%[1]s;
	peer table outside%[1]s;
	import none;
	export where net = %[5]s;
}

protocol kernel outside_kernel%[1]s {
	kernel table %[3]d;
	scan time 1;
	persist on;		# the tunnels carry on while BIRD is restarted, before 3.3
	%[2]s {
		table outside%[1]s;
		import none;
		export filter {
			if source != RTS_STATIC || dest != RTD_UNICAST then reject;
			if gw = %[4]s then ifname = ifname;	# the default route has no gateway
			accept;
		};
	};
}

protocol static outside_site%[1]s {
	igp table outside%[1]s;
	%[2]s { table outside%[1]s; };
`, f.N, f.Channel, plan.OutsideTable, f.Loopback, f.Default)
	for _, route := range f.Outside {
		o.put("\t%s\n", route)
	}
	o.put("}\n")
}

func (o *conf) policy(f family) {
	o.put(`
# ---- IPv%[1]s: policy -------------------------------------------------------------

# Networks of the own site.
function own%[1]s() {
`, f.N)
	if f.Own == "" {
		o.put("\treturn false;\n")
	} else {
		o.put("\treturn net ~ %s;\n", f.Own)
	}
	o.put(`}

# Whose prefix is it? The AS at the end of the path must own exactly this one,
# so a third site can carry it and nobody can claim it. A default route, a
# tunnel's network, a bogon or a more specific prefix has no owner.
function owned%s() {
`, f.N)
	if len(f.Owners) == 0 {
		o.put("\treturn false;\n")
	} else {
		o.put("\tcase bgp_path.last {\n")
		for _, owner := range f.Owners {
			o.put("\t\t%d: return net ~ %s;", owner.AS, owner.Set)
			if owner.Site != "" {
				o.put("\t# %s", owner.Site)
			}
			o.put("\n")
		}
		o.put("\t\telse: return false;\n\t}\n")
	}
	o.put(`}

# What this router announces, while it has the route itself. The MED draws the
# traffic of a zone to that zone's router.
function originated%s() {
`, f.N)
	if len(f.Originate) > 0 {
		o.put("\tif source != RTS_STATIC then return false;\n")
	}
	for _, line := range f.Originate {
		o.put("\tif net ~ %s then { bgp_med = %d; return true; }\n", line.Set, line.MED)
	}
	o.put(`	return false;
}

# A tunnel to the site comes first, one to another zone's router next (MED above 50),
# a third site last. Nothing is above its rank: a router of the own site could draw
# what this one's own tunnels carry. Draining is below.
function ranked%s() {
	if bgp_path.len > 1 then {
		if bgp_local_pref > 80 then bgp_local_pref = 80;
	} else if defined(bgp_med) && bgp_med > 50 then {
		if bgp_local_pref > 90 then bgp_local_pref = 90;
	} else if bgp_local_pref > 100 then bgp_local_pref = 100;
}
`, f.N)
}

func (o *conf) otherSites(f family) {
	o.put(`
function from_other_site%[1]s(int peer_as; ip peer_address; bool carries) {
	if bgp_path.len > %[2]d then return false;	# before a mask is matched: CVE-2026-49943
	if bgp_next_hop != peer_address then return false;	# sends traffic to itself only
	if !carries && bgp_path.last != peer_as then return false;
	ranked%[1]s();
	if %[3]s != "" then bgp_local_pref = 0;	# rather the way that the site's other router has
	if (65535, 0) ~ bgp_community then bgp_local_pref = 0;	# GRACEFUL_SHUTDOWN, RFC 8326
	return owned%[1]s();
}

function to_other_site%[1]s(int peer_as) {
`, f.N, plan.LongestPath, plan.BirdDrain)
	o.draining()
	o.put("\tif originated%s() then return true;\n", f.N)
	if f.Transit {
		o.put(`	# Prefixes of third sites, for a neighbour whose own tunnels to them are
	# down: the longer path makes this its last choice. Longer ones than it takes are
	# not sent: while a site dies, the others look for it by every way that they know.
	return source = RTS_BGP && bgp_path.len > 0 && bgp_path.len < %d && !(bgp_path ~ [= * peer_as * =]);
}
`, plan.LongestPath)
	} else {
		o.put("\treturn false;	# this site carries nobody else's traffic\n}\n")
	}
}

func (o *conf) sameSite(f family) {
	o.put(`
function from_same_site%[1]s(ip peer_address) {
	if bgp_path.len > %[2]d then return false;	# before a mask is matched: CVE-2026-49943
	if bgp_next_hop != peer_address then return false;
	ranked%[1]s();
	bgp_med = 4294967295;	# of two ways of a rank, rather the own tunnel
	if (65535, 0) ~ bgp_community then bgp_local_pref = 0;	# GRACEFUL_SHUTDOWN, RFC 8326
	if bgp_path.len = 0 then return own%[1]s();
	return owned%[1]s();
}

function to_same_site%[1]s() {
`, f.N, plan.LongestPath)
	o.draining()
	o.put("\treturn originated%s() || (source = RTS_BGP && bgp_path.len > 0);\n}\n", f.N)
}

func (o *conf) draining() {
	o.put("\tif %s != \"\" then bgp_community.add((65535, 0));	# GRACEFUL_SHUTDOWN, RFC 8326\n", plan.BirdDrain)
}

func (o *conf) sessions(v view) {
	o.put(`
# ---- Sessions -------------------------------------------------------------------

# A WireGuard interface is always up, so only BFD sees a dead path:
# after %[1]d x %[2]d ms.
protocol bfd bfd1 {
	accept ipv4 direct;
	interface %[3]s {
		interval %[2]d ms;
		multiplier %[1]d;
		# RFC 5880 has 1 s, to spare those who do not speak BFD. Here all do. A far end goes
		# by the session before for three of these when BGP begins a new one.
		idle tx interval %[2]d ms;
	};
}
`, v.BFD.Multiplier, v.BFD.Interval, v.Interfaces)
	if v.Others {
		o.template(v, "other_site", `
template bgp other_site {
	direct;
	ttl security on;		# nobody from further away speaks to this session
	enforce first as on;
`)
	}
	if v.Same {
		o.template(v, "same_site", `
# eBGP has BIRD's safe default of refusing everything; iBGP has not, so the
# template says it.
template bgp same_site {
	direct;
`)
	}
	for _, s := range v.Sessions {
		o.session(s)
	}
}

// template completes one that begins so, and adds that of both families where the mesh has both.
func (o *conf) template(v view, name, begins string) {
	o.put("%s", begins)
	o.timers(v)
	o.closed("ipv4")
	o.put("}\n")
	if v.Dual {
		o.put("\ntemplate bgp %[1]s_dual from %[1]s {\n", name)
		o.closed("ipv6")
		o.put("}\n")
	}
}

func (o *conf) timers(v view) {
	o.put(`	# A session that BFD ends begins anew at once: with "on" it refuses the far end for the
	# error wait time first. No route stays without graceful restart, which is off.
	bfd graceful;
	hold time %[1]d;			# the backstop of BFD; the default is 240
	startup hold time %[1]d;		# a peer that dies while it says hello
	connect delay time 1;		# default 5
	connect retry time 1;		# default 120
	error wait time 1, 1;		# default 60, 300: a minute without redundancy
	error forget time 30;
	graceful restart off;		# would keep routes of a dead path alive
	long lived graceful restart off;
`, v.HoldTime)
	if v.Version.Major >= 3 {
		o.put(`	# MEDs are compared with everybody's, which is one order of all ways: in groups
	# by AS, BIRD 3 leaves the others of a group out when its best one goes (3.1 to 3.4).
	med metric on;
`)
	} else {
		o.put("\tdeterministic med on;		# compares MEDs as the standard means it\n")
	}
	o.put(`	allow as sets off;
	enable extended messages off;	# a message of 4096 bytes has no room for a path that is dangerously long
`)
}

// closed is a template's channel, which lets nothing in or out: each session says what.
func (o *conf) closed(channel string) {
	o.put(`	%s {
		import none;
		export none;
		next hop self on;
		gateway direct;
	};
`, channel)
}

func (o *conf) session(s session) {
	o.put(`
# %s
protocol bgp %s from %s {
	interface "%s";
	local %s as %d;
	neighbor %s as %d;
`, s.Title, s.Name, s.Template, s.Interface, s.LocalAddress, s.LocalAS, s.Address, s.AS)
	for _, ch := range s.Channels {
		o.put("\t%s {\n", ch.Name)
		if ch.NextHop != "" {
			o.put("\t\tnext hop address %s;\n", ch.NextHop)
		}
		o.put(`		import where %s;
		export where %s;
		import limit %d action block;
	};
`, ch.Import, ch.Export, ch.Limit)
	}
	o.put("}\n")
}
