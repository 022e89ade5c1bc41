# Turns a #cloud-config document into calls of the functions in cloud-init.sh. Load yaml.awk first.

function q(s) { gsub(/'/, "'\\''", s); return "'" s "'" }
function yes(s) { return s ~ /^([Tt]rue|TRUE|[Yy]es|[Oo]n|1)$/ }
function has(p) { return p in T }

# A list that may also be written as one scalar, or separated by commas.
function each(p, command,   i, n, part) {
    if (T[p] == "s") for (i = 0; i < N[p]; i++) print command, q(V[p "/" i])
    else if (T[p] == "v" && V[p] != "") { n = split(V[p], part, /, */); for (i = 1; i <= n; i++) print command, q(part[i]) }
}

# A command: one string for the shell, or a list of arguments.
function command(p,   i, s) {
    if (T[p] == "v") return V[p]
    if (T[p] == "m") { print "note", q("cloud-config: " p ": a mapping, not a command; quote it, for YAML ends a key at colon and space"); return "false" }
    s = ""
    for (i = 0; i < N[p]; i++) s = s (i ? " " : "") q(V[p "/" i])
    return s
}

function user(p,   name) {
    if (T[p] == "v") { if (V[p] == "default") print "default_user"; else if (V[p] != "") print "user", q(V[p]); return }
    name = V[p "/name"]
    if (name == "") return
    print "user", q(name), q(V[p "/shell"]), q(V[p "/homedir"]), q(V[p "/uid"]), q(V[p "/gecos"])
    if (has(p "/passwd")) print "user_hash", q(name), q(V[p "/passwd"])
    if (has(p "/hashed_passwd")) print "user_hash", q(name), q(V[p "/hashed_passwd"])
    if (has(p "/plain_text_passwd")) print "user_password", q(name), q(V[p "/plain_text_passwd"])
    if (has(p "/lock_passwd") ? yes(V[p "/lock_passwd"]) : !(has(p "/plain_text_passwd"))) print "user_lock", q(name)
    each(p "/groups", "user_group " q(name))
    each(p "/ssh_authorized_keys", "user_key " q(name))
    each(p "/ssh-authorized-keys", "user_key " q(name))
    if (has(p "/sudo") && V[p "/sudo"] != "False") print "user_group", q(name), "wheel"
}

function password_line(s,   i) { i = index(s, ":"); if (i) print (substr(s, i + 1) ~ /^\$[0-9a-z]+\$/ ? "user_hash" : "user_password"), q(substr(s, 1, i - 1)), q(substr(s, i + 1)) }

END {
    yaml()
    n = N["bootcmd"]; for (i = 0; i < n; i++) { c = command("bootcmd/" i); print "boot_command", q(c) }
    if (has("fqdn")) print "host_name", q(V["fqdn"])
    if (has("hostname")) print "host_name", q(V["hostname"])
    if (has("user") && T["user"] == "v" && V["user"] != "") print "default_user_name", q(V["user"])
    if (T["system_info/default_user"] == "m") print "default_user_name", q(V["system_info/default_user/name"])
    n = N["groups"]
    if (T["groups"] == "s") for (i = 0; i < n; i++) { if (T["groups/" i] == "v") print "group", q(V["groups/" i]); else for (j = 0; j < N["groups/" i]; j++) print "group", q(C["groups/" i, j]) }
    if (has("users")) { if (T["users"] == "s") for (i = 0; i < N["users"]; i++) user("users/" i); else user("users") }
    else print "default_user"
    each("ssh_authorized_keys", "default_key")
    if (has("password")) print "default_password", q(V["password"])
    if (has("ssh_pwauth")) print "ssh_passwords", yes(V["ssh_pwauth"]) ? "yes" : "no"
    if (has("disable_root")) print "root_ssh", yes(V["disable_root"]) ? "no" : "yes"
    if (T["chpasswd/list"] == "s") for (i = 0; i < N["chpasswd/list"]; i++) password_line(V["chpasswd/list/" i])
    else if (T["chpasswd/list"] == "v") { n = split(V["chpasswd/list"], line, "\n"); for (i = 1; i <= n; i++) password_line(line[i]) }
    for (i = 0; i < N["chpasswd/users"]; i++) {
        p = "chpasswd/users/" i
        print (V[p "/type"] == "text" ? "user_password" : "user_hash"), q(V[p "/name"]), q(V[p "/password"])
    }
    if (has("timezone")) print "time_zone", q(V["timezone"])
    for (i = 0; i < N["write_files"]; i++) {
        p = "write_files/" i; encoding = V[p "/encoding"]
        if (B[p "/content"]) encoding = "b64"
        print "write_file", q(V[p "/path"]), q(V[p "/permissions"]), q(V[p "/owner"]), q(encoding), yes(V[p "/append"]) ? "append" : "replace", q(V[p "/content"])
    }
    for (i = 0; i < N["ntp/servers"]; i++) print "note 'ntp: the clock follows the host; servers are left out'"
    for (i = 0; i < N["runcmd"]; i++) { c = command("runcmd/" i); print "run_command", q(c) }
    if (T["power_state"] == "m") print "power_state", q(V["power_state/mode"])
    if (has("final_message")) print "final_message", q(V["final_message"])
    known = " bootcmd fqdn hostname user users system_info groups ssh_authorized_keys password ssh_pwauth disable_root chpasswd timezone write_files ntp runcmd power_state final_message preserve_hostname manage_etc_hosts prefer_fqdn_over_hostname "
    for (i = 0; i < N[""]; i++) if (index(known, " " C["", i] " ") == 0) print "note", q("cloud-config: " C["", i] ": not known to this guest, left out")
}
