# Functions for the scripts beside this folder: what they need is installed, or they say what is missing.
# shellcheck shell=bash

# fail WORDS...: one line, and the end.
fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# need COMMAND=PACKAGE...: every command is there afterwards. An absolute path is a command; `python:NAME` is a
# module that Debian's Python can import.
need() {
    local pair missing=()
    for pair in "$@"; do
        is_there "${pair%%=*}" || missing+=("${pair#*=}")
    done
    ((${#missing[@]})) || return 0
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        fail "not installed: ${missing[*]} (Debian's names); as root this script would install them"
    fi
    { install "${missing[@]}" || { apt-get update && install "${missing[@]}"; }; } >&2 ||
        fail "cannot install ${missing[*]}"
    for pair in "$@"; do
        is_there "${pair%%=*}" || fail "${pair#*=} is installed but there is no ${pair%%=*}"
    done
}

is_there() {
    case $1 in
        python:*) /usr/bin/python3 -c "import ${1#python:}" 2>/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

# Debian starts the servers that it installs; here they would only be in the way.
install() {
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

# need_rust: a toolchain and a linker.
need_rust() {
    PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    command -v cargo >/dev/null ||
        fail "cargo is missing: install Rust $(rust_version) or newer, for example with rustup"
    need cc=gcc
}

# The oldest Rust that builds the binary.
rust_version() {
    sed -n 's/^rust-version = "\(.*\)"/\1/p' bin/Cargo.toml
}

# need_cargo_tool NAME: a cargo subcommand, built from its source when it is missing.
need_cargo_tool() {
    command -v "$1" >/dev/null || cargo install --locked "$1" >&2 || fail "cannot install $1"
}
