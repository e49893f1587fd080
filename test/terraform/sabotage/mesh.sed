# Each of these has to be noticed by mesh/tests; what the test then says follows.
# expect: ports of aws-1, id 5: tunnels 7 to 10, 15 and 20
s/other.mesh_id) - 2)/other.mesh_id) - 3)/
# expect: a zone's nodes send to the router of their zone
s/if router.mesh_zone == zone\]/if router.mesh_zone != zone]/
# expect: an absent router has no tunnels, and mesh_port_base counts
s/!= "absent"/!= "gone"/
# expect: user-data brings a name and files, and no key: others can read it
s/^        hostname = name$/        hostname = name, ssh_keys = { ed25519_private = "-----BEGIN OPENSSH PRIVATE KEY-----" }/
# expect: run "private_key_in_a_source"... fail
s/"PRIVATE KEY")\])$/"PUBLIC KEY")])/
# expect: run "ssh_for_everybody_in_halves"... fail
s/ >= 8, false/ >= 1, false/
