# To be sourced: Debian's packages, fetched with apt-get and unpacked below a folder. Nothing is installed; no root.
#
# DIRECTORY is the folder; packages end up in $DIRECTORY/root. What apt-get says goes to $DIRECTORY/fetch.log.

# apt-get with this machine's package sources and a state of its own.
apt() {
    APT_CONFIG=$DIRECTORY/apt.conf apt-get -qq "$@"
}

# Whether this machine can fetch and unpack packages for x86-64.
has_apt() {
    [[ $(uname -sm) == 'Linux x86_64' ]] && command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null
}

# Makes apt's state, in which packages whose names match the regular expression $1 do not count as installed, and
# the other arguments are the architectures.
prepare_apt() {
    local hidden=$1 architecture
    shift
    rm -rf "$DIRECTORY/apt" "$DIRECTORY/root.partial"
    mkdir -p "$DIRECTORY"/apt/{lists,archives}/partial "$DIRECTORY/root.partial"
    {
        echo 'APT::Architectures {'
        for architecture; do echo "\"$architecture\";"; done
        echo '};'
        cat <<CONFIG
APT::Install-Recommends "false";
APT::Sandbox::User "$(id -un)";
Debug::NoLocking "true";
Dir::State "$DIRECTORY/apt";
Dir::State::status "$DIRECTORY/apt/status";
Dir::Cache "$DIRECTORY/apt";
CONFIG
    } >"$DIRECTORY/apt.conf"
    awk -v RS= -v ORS='\n\n' -v hidden="^Package: [^\n]*($hidden)" '$0 !~ hidden' /var/lib/dpkg/status \
        >"$DIRECTORY/apt/status"
    apt update
}

# Libraries that the packages need and this machine has installed are not among them.
unpack() {
    local package
    for package in "$DIRECTORY"/apt/archives/*.deb; do
        dpkg-deb --extract "$package" "$DIRECTORY/root.partial" || return
    done
    rm -rf "$DIRECTORY/apt"
    mv "$DIRECTORY/root.partial" "$DIRECTORY/root"
}

# Runs `download`, which the script defines, and unpacks what it fetched, unless that was done before. Gives 1, with
# the reason in `reason`, where it cannot be done.
fetch_packages() {
    [[ ! -d "$DIRECTORY/root" ]] || return 0
    mkdir -p "$DIRECTORY"
    if ! { download && unpack; } >"$DIRECTORY/fetch.log" 2>&1; then
        reason="Debian's packages cannot be had: $(tail -n 1 "$DIRECTORY/fetch.log")"
        return 1
    fi
}
