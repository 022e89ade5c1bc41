# Turns network-config (version 1 or 2) into shell calls. Load yaml.awk first.
#
#   nic ID MAC NAME MTU          begins an interface, found by MAC, else by NAME or ID
#   nic_dhcp | nic_address A/P | nic_route TO VIA | dns ADDRESS | search DOMAIN

function q(s) { gsub(/'/, "'\\''", s); return "'" s "'" }
function yes(s) { return s ~ /^([Tt]rue|TRUE|[Yy]es|[Oo]n|1)$/ }
function list(p, command,   i) {
    if (T[p] == "s") for (i = 0; i < N[p]; i++) print command, q(V[p "/" i])
    else if (V[p] != "") print command, q(V[p])
}
function prefix(mask,   part, n, i, bits) {
    if (mask !~ /\./) return mask
    n = split(mask, part, "."); bits = 0
    for (i = 1; i <= n; i++) while (part[i] > 0) { bits += part[i] % 2; part[i] = int(part[i] / 2) }
    return bits
}
function routes(p,   i, to, via) {
    for (i = 0; i < N[p]; i++) {
        to = V[p "/" i "/to"]; via = V[p "/" i "/via"]
        if (to == "") { to = V[p "/" i "/network"]; if (V[p "/" i "/netmask"] != "") to = to "/" prefix(V[p "/" i "/netmask"]) }
        if (to == "") to = V[p "/" i "/destination"]
        if (via == "") via = V[p "/" i "/gateway"]
        print "nic_route", q(to == "0.0.0.0/0" || to == "::/0" ? "default" : to), q(via)
    }
}

END {
    yaml()
    r = T["network"] == "m" ? "network/" : ""
    if (V[r "version"] == "1") {
        for (i = 0; i < N[r "config"]; i++) {
            p = r "config/" i
            if (V[p "/type"] == "physical") {
                print "nic", q(V[p "/name"]), q(tolower(V[p "/mac_address"])), q(V[p "/name"]), q(V[p "/mtu"])
                for (j = 0; j < N[p "/subnets"]; j++) {
                    s = p "/subnets/" j; kind = V[s "/type"]
                    if (kind == "dhcp" || kind == "dhcp4") print "nic_dhcp"
                    else if (V[s "/address"] != "") {
                        a = V[s "/address"]
                        if (a !~ /\//) a = a "/" (V[s "/netmask"] != "" ? prefix(V[s "/netmask"]) : 24)
                        print "nic_address", q(a)
                        if (V[s "/gateway"] != "") print "nic_route default", q(V[s "/gateway"])
                    }
                    list(s "/dns_nameservers", "dns"); list(s "/dns_search", "search"); routes(s "/routes")
                }
            } else if (V[p "/type"] == "nameserver") { list(p "/address", "dns"); list(p "/search", "search") }
            else print "note", q("network-config: type " V[p "/type"] ": not known to this guest, left out")
        }
    } else {
        for (i = 0; i < N[r "ethernets"]; i++) {
            id = C[r "ethernets", i]; p = r "ethernets/" id
            print "nic", q(V[p "/match/name"] != "" ? V[p "/match/name"] : id), q(tolower(V[p "/match/macaddress"])), q(V[p "/set-name"]), q(V[p "/mtu"])
            if (yes(V[p "/dhcp4"])) print "nic_dhcp"
            list(p "/addresses", "nic_address")
            if (V[p "/gateway4"] != "") print "nic_route default", q(V[p "/gateway4"])
            if (V[p "/gateway6"] != "") print "nic_route default", q(V[p "/gateway6"])
            routes(p "/routes")
            list(p "/nameservers/addresses", "dns"); list(p "/nameservers/search", "search")
        }
    }
}
