# What the guest's scripts share.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

# say TEXT...: one line on the console, in the guest's name.
say() { echo "guest: $*" > /dev/console; }

# keep_state: moves what must outlive a reboot to the state partition, if the disk has one.
keep_state() {
    for d in root home etc/dropbear var/lib/cloud; do
        mkdir -p "/state/$d" "/$d"
        [ -e "/state/$d/.kept" ] || { cp -a "/$d/." "/state/$d/"; : > "/state/$d/.kept"; }
        mount -o bind "/state/$d" "/$d"
    done
}
