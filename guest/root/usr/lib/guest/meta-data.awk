# Turns meta-data (YAML, or the JSON of a config drive) into shell calls. Load yaml.awk first.

function q(s) { gsub(/'/, "'\\''", s); return "'" s "'" }

END {
    yaml()
    id = V["instance-id"]; if (id == "") id = V["instance_id"]; if (id == "") id = V["uuid"]
    print "instance_id", q(id)
    name = V["local-hostname"]; if (name == "") name = V["hostname"]
    if (name != "") print "host_name", q(name)
    split("public-keys public_keys", sets, " ")
    for (k = 1; k <= 2; k++) {
        p = sets[k]
        for (i = 0; i < N[p]; i++) {
            v = T[p] == "m" ? p "/" C[p, i] : p "/" i
            if (T[v] == "v") print "default_key", q(V[v]); else print "default_key", q(V[v "/openssh-key"])
        }
    }
}
