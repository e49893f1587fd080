package filter

// NamesOf have the tables of legacy iptables.
var NamesOf = namesOf

// Legacy4 is iptables-legacy.
const Legacy4 = legacy4
