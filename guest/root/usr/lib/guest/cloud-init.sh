# The essentials of cloud-init: NoCloud and config-drive seeds, users, keys, files, network, commands.
#
# Three stages, as there: "first" (before the login: seed, bootcmd, users, files), "network", "final" (runcmd and
# scripts, once for each instance-id). The documents are turned into calls of the functions below by awk.

L=/usr/lib/guest
CLOUD=/var/lib/cloud
RUN=/run/cloud
DEFAULT_USER=guest

note() { say "$*"; }

# ---- stages ----

cloud_init_first() {
    mkdir -p $RUN $CLOUD; : > $RUN/commands
    find_seed && read_seed
    [ -e $RUN/instance ] || echo none > $RUN/instance
    read -r instance < $RUN/instance
    # Users, files and keys are applied on every boot: the file system is made anew each time, but for the
    # directories on the state partition, where doing it twice changes nothing.
    if [ -s $RUN/meta-data ]; then convert meta-data; . $RUN/meta-data.sh; fi
    if [ ! -e $RUN/user-data ]; then apply_defaults
    else
        case $(head -c 16 $RUN/user-data) in
        '#cloud-config'*) convert_config $RUN/user-data $RUN/config.sh; . $RUN/config.sh ;;
        '#!'*) apply_defaults; cp $RUN/user-data $RUN/script; chmod 755 $RUN/script ;;
        Content-Type:*|MIME-Version*|From*) apply_defaults; say 'cloud-init: multipart user-data: not known to this guest, left out' ;;
        *) apply_defaults; [ -s $RUN/user-data ] && say 'cloud-init: user-data starts neither with #cloud-config nor with #!, left out' ;;
        esac
    fi
    hostname -F /etc/hostname
}

apply_defaults() { default_user; }

cloud_init_network() {
    NIC=; : > $RUN/nics
    if [ -s $RUN/network-config ]; then
        awk -f $L/yaml.awk -f $L/network-config.awk $RUN/network-config > $RUN/network.sh
        . $RUN/network.sh
    fi
    [ -s $RUN/nics ] && return
    for path in /sys/class/net/*; do
        name=${path##*/}
        [ "$name" = lo ] || { nic "$name" "" "" ""; nic_dhcp; break; }
    done
}

cloud_init_final() {
    read -r instance < $RUN/instance
    if [ -e "$CLOUD/done-$instance" ]; then return; fi
    : > "$CLOUD/done-$instance"
    [ -s $RUN/commands ] && sh $RUN/commands
    [ -x $RUN/script ] && $RUN/script
    [ -s $RUN/final ] && cat $RUN/final > /dev/console
    if [ -s $RUN/power ]; then read -r mode < $RUN/power; $mode; fi
}

# ---- the seed ----

# find_seed: mounts the volume labelled cidata (or config-2) on /run/seed.
find_seed() {
    mkdir -p /run/seed
    modprobe -a isofs vfat nls_cp437 nls_ascii nls_utf8 2>/dev/null
    for label in cidata CIDATA config-2 CONFIG-2; do
        device=$(findfs LABEL=$label 2>/dev/null) || continue
        for type in iso9660 vfat; do mount -t $type -o ro "$device" /run/seed 2>/dev/null && return; done
    done
    return 1
}

read_seed() {
    s=/run/seed
    if [ -d $s/openstack/latest ]; then
        s=$s/openstack/latest
        copy_seed $s/meta_data.json meta-data; copy_seed $s/user_data user-data
    else
        for f in meta-data user-data network-config; do copy_seed $s/$f $f; done
    fi
    umount /run/seed
}

copy_seed() { [ -s "$1" ] && cp "$1" "$RUN/$2" && chmod 600 "$RUN/$2"; return 0; }

convert() { awk -f $L/yaml.awk -f "$L/$1.awk" "$RUN/$1" > "$RUN/$1.sh"; }
convert_config() { awk -f $L/yaml.awk -f $L/cloud-config.awk "$1" > "$2"; }

instance_id() { echo "${1:-none}" | tr -c 'A-Za-z0-9._\n-' _ > $RUN/instance; }

# ---- what a cloud-config asks for ----

host_name() {
    name=${1%%.*}
    echo "$name" > /etc/hostname
    printf '127.0.0.1\tlocalhost\n127.0.1.1\t%s %s\n::1\tlocalhost\n' "$1" "$name" > /etc/hosts
    : > /run/hostname-set
}

boot_command() { sh -c "$1"; }
run_command() { printf '%s\n' "$1" >> $RUN/commands; }

default_user_name() { DEFAULT_USER=$1; }
default_user() { user "$DEFAULT_USER" "" "" "" ""; }
default_key() { user "$DEFAULT_USER" "" "" "" ""; user_key "$DEFAULT_USER" "$1"; }
default_password() { user "$DEFAULT_USER" "" "" "" ""; user_password "$DEFAULT_USER" "$1"; }

# user NAME SHELL HOME UID GECOS: adds the user if there is none of that name.
user() {
    grep -q "^$1:" /etc/passwd && return
    uid=$4
    if [ -z "$uid" ]; then uid=1000; while grep -q "^[^:]*:[^:]*:$uid:" /etc/passwd; do uid=$((uid + 1)); done; fi
    home=${3:-/home/$1}
    shell=${2:-/bin/sh}; [ -x "$shell" ] || shell=/bin/sh
    echo "$1:x:$uid:$uid:$5:$home:$shell" >> /etc/passwd
    echo "$1:!:20000:0:99999:7:::" >> /etc/shadow
    grep -q "^$1:" /etc/group || echo "$1:x:$uid:" >> /etc/group
    mkdir -p "$home"; chown "$uid:$uid" "$home"; chmod 750 "$home"
}

group() { grep -q "^$1:" /etc/group || echo "$1:x:$((2000 + $(wc -l < /etc/group))):" >> /etc/group; }
user_group() { group "$2"; awk -F: -v OFS=: -v g="$2" -v u="$1" '$1 == g { $4 = $4 == "" ? u : $4 "," u } { print }' /etc/group > /run/group && cat /run/group > /etc/group; }

user_hash() { awk -F: -v OFS=: -v u="$1" -v h="$2" '$1 == u { $2 = h } { print }' /etc/shadow > /run/shadow && cat /run/shadow > /etc/shadow; rm -f /run/shadow; }
user_password() { user_hash "$1" "$(printf '%s' "$2" | mkpasswd -m sha512 -P 0)"; }
user_lock() { user_hash "$1" '!'; }

user_key() {
    home=$(awk -F: -v u="$1" '$1 == u { print $6; exit }' /etc/passwd)
    [ -n "$home" ] || return
    mkdir -p "$home/.ssh"
    grep -qxF "$2" "$home/.ssh/authorized_keys" 2>/dev/null || printf '%s\n' "$2" >> "$home/.ssh/authorized_keys"
    chmod 700 "$home/.ssh"; chmod 600 "$home/.ssh/authorized_keys"; chown -R "$1" "$home/.ssh"
}

ssh_passwords() { if [ "$1" = yes ]; then : > /run/ssh-passwords; else rm -f /run/ssh-passwords; fi; }
root_ssh() { if [ "$1" = no ]; then : > /run/ssh-no-root; else rm -f /run/ssh-no-root; fi; }
time_zone() { echo "$1" > /etc/timezone; }
final_message() { printf '%s\n' "$1" > $RUN/final; }

# write_file PATH MODE OWNER ENCODING append|replace CONTENT
write_file() {
    [ -n "$1" ] || { note 'cloud-config: write_files: an entry without path, left out'; return; }
    mkdir -p "${1%/*}/"
    [ "$5" = append ] || : > "$1"
    case $4 in
    ''|text/plain) printf '%s' "$6" >> "$1" ;;
    b64|base64) printf '%s' "$6" | base64 -d >> "$1" ;;
    gz+b64|gzip+b64|gz+base64|gzip+base64) printf '%s' "$6" | base64 -d | gunzip >> "$1" ;;
    *) note "cloud-config: write_files: $1: encoding $4: not known to this guest, left out" ;;
    esac
    chmod "${2:-644}" "$1"
    [ -n "$3" ] && chown "$3" "$1"
    return 0
}

power_state() { case $1 in poweroff|halt|reboot) echo "$1" > $RUN/power ;; esac; }

# ---- network ----

# nic ID MAC NAME MTU
nic() {
    NIC=
    for path in /sys/class/net/*; do
        name=${path##*/}; read -r mac < "$path/address"
        if [ -n "$2" ]; then [ "$mac" = "$2" ] && NIC=$name
        elif [ "$name" = "$1" ]; then NIC=$name; fi
    done
    if [ -z "$NIC" ] && [ -z "$2" ]; then
        # Other systems name interfaces otherwise (enp1s0): take the next one that nothing has claimed.
        for path in /sys/class/net/*; do
            name=${path##*/}
            [ "$name" = lo ] || grep -qx "$name" $RUN/nics || { NIC=$name; break; }
        done
    fi
    [ -n "$NIC" ] || { note "network-config: $1 $2: there is no such interface"; return; }
    if [ -n "$3" ] && [ "$3" != "$NIC" ]; then ip link set "$NIC" name "$3" 2>/dev/null && NIC=$3; fi
    echo "$NIC" >> $RUN/nics
    [ -n "$4" ] && ip link set "$NIC" mtu "$4"
    ip link set "$NIC" up
}

nic_dhcp() {
    [ -n "$NIC" ] || return
    read -r name < /etc/hostname
    udhcpc -i "$NIC" -s $L/dhcp -x "hostname:$name" -O search -O mtu -t 8 -T 1 -A 5 -b -p "/run/udhcpc.$NIC" > /dev/null 2>&1
}

nic_address() { [ -n "$NIC" ] && ip addr add "$1" dev "$NIC"; }
nic_route() { [ -n "$NIC" ] && ip route add "$1" via "$2" dev "$NIC"; }
dns() { echo "nameserver $1" >> /etc/resolv.conf; }
search() { echo "search $1" >> /etc/resolv.conf; }
