# shellcheck shell=bash
# Sourced by run.sh and separate.sh: PYTHON, an interpreter whose packages are those that setup.cfg pins.
#
# .venv/winnow/ holds what is known of .venv: `pins`, what it was made from, written when it
# is whole; `extra-NAME`, the same for every extra in it; `lock`, a link whose target says who is
# installing: host, process, when that began; `install.log`, pip's complaints. A .venv without valid `pins` is
# made again from nothing, so no run trusts what a failed or interrupted one left.

# What is imported is the environment's, whatever the user's own Python is told.
unset PYTHONPATH PYTHONHOME PYTHONSAFEPATH

STATE=.venv/winnow
# Tests have run on 3.13 and 3.11; for the others every pin has a wheel.
CANDIDATES=(python3.13 python3.12 python3.11 python3.14 python3)

# environment: sets PYTHON, unless --python has. Called in the checkout.
environment() {
  if [[ -n $PYTHON ]]; then
    check_packages
    return
  fi
  PYTHON=.venv/bin/python
  whole && return
  if ! base_is_whole; then find_python && check_compiler; fi # before anything is written
  lock
  if ! whole; then install; fi # another run may have installed meanwhile
  unlock
}

# extras: the names of those in setup.cfg
extras() {
  awk '/^\[/ { inside = /extras_require/ } inside && /^[^ #[]+ *=/ { print $1 }' "$ROOT/setup.cfg"
}

# is_extra NAME
is_extra() {
  extras | grep -Fx -- "$1" >/dev/null
}

# pins KEY: the requirements that setup.cfg lists under a key, such as install_requires or test
pins() {
  awk -v key="$1" '
    /^[^ #]/ { inside = ($1 == key) }
    inside && /^ +[^ #]/ { print $1 }' "$ROOT/setup.cfg"
}

# bare_pins KEY: of these, the packages that are installed without what they require
bare_pins() {
  awk -v key="$1" '
    /^\[/ { here = ($0 == "[tool:winnow:bare]") }
    /^[^ #]/ { inside = (here && $1 == key) }
    inside && /^ +[^ #]/ { print $1 }' "$ROOT/setup.cfg"
}

# base_pins: what `pins` must hold; Python's version stands there as a comment, because the
# file is also the constraints that pip is given
base_pins() {
  echo "# Python $("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
  pins install_requires
  grep -v '^#' "$ROOT/local/shell/constraints.txt"
}

# whole: is .venv made from today's pins, with the extras that this run needs?
whole() {
  base_is_whole || return
  missing_extras
  ((${#MISSING[@]} == 0))
}

base_is_whole() {
  [[ -f $STATE/pins && -x .venv/bin/python ]] &&
    base_pins .venv/bin/python 2>/dev/null | cmp -s - "$STATE/pins"
}

# missing_extras: those of EXTRAS that .venv lacks, in MISSING
missing_extras() {
  local extra
  MISSING=()
  for extra in ${EXTRAS[@]+"${EXTRAS[@]}"}; do
    pins "$extra" | cmp -s - "$STATE/extra-$extra" || MISSING+=("$extra")
  done
}

# install: make .venv, or add extras to it
install() {
  local extra list bare
  if ! base_is_whole; then
    find .venv/ -mindepth 1 -maxdepth 1 ! -name winnow -exec rm -rf {} +
    rm -f "$STATE"/pins "$STATE"/extra-*
    say "making .venv with $BASE (about 6 GB, most of it torch; some minutes)"
    "$BASE" -m venv .venv >"$STATE/install.log" 2>&1 || explain "$BASE -m venv"
    { base_pins .venv/bin/python >"$STATE/pins.new"; } 2>"$STATE/install.log" ||
      explain "writing $STATE/pins.new"
  else
    cp "$STATE/pins" "$STATE/pins.new" 2>"$STATE/install.log" || explain "writing $STATE/pins.new"
  fi
  missing_extras
  list=${MISSING[*]-}
  [[ -z $list ]] || say "installing what is needed for: $list"
  pip_install --editable ".${list:+[${list// /,}]}"
  bare=$(for extra in ${MISSING[@]+"${MISSING[@]}"}; do bare_pins "$extra"; done)
  # shellcheck disable=SC2086 # pins are words
  [[ -z $bare ]] || pip_install --no-deps --ignore-requires-python $bare
  for extra in ${MISSING[@]+"${MISSING[@]}"}; do
    { pins "$extra" >"$STATE/extra-$extra"; } 2>"$STATE/install.log" ||
      explain "writing $STATE/extra-$extra"
  done
  mv "$STATE/pins.new" "$STATE/pins" 2>"$STATE/install.log" || explain "writing $STATE/pins"
}

# pip_install WORD...: what pip is to install, with the pins as constraints, also for what builds pesq.
# The progress of long downloads is for people; a log file does without.
pip_install() {
  local quiet=
  [[ -t 2 ]] || quiet=--quiet
  # PIP_BUILD_CONSTRAINT: pip 25.3 no longer takes the first for builds; older ones ignore it.
  # The path is relative because pip splits the variable at spaces.
  PIP_CONSTRAINT=$STATE/pins.new PIP_BUILD_CONSTRAINT=$STATE/pins.new \
    .venv/bin/python -m pip install $quiet --disable-pip-version-check "$@" \
    >&2 2>"$STATE/install.log" || explain "installing .venv"
}

# explain WHAT: end with what install.log says that went wrong
explain() {
  local log=$STATE/install.log cause
  if grep -qE 'Retrying \(|Max retries exceeded|Connection (refused|reset|broken)|Read timed out' "$log"; then
    cause="no network: the packages come from the Python package index (behind a proxy, set https_proxy)"
  elif grep -qiE 'no space left|disk quota' "$log"; then
    cause="the disk is full: .venv takes about 6 GB, and pip as much for a while"
  elif grep -q 'No matching distribution found for' "$log"; then
    cause=$(sed -n '/No matching distribution found for/{s/.* found for \([^ ]*\).*/\1/p;q;}' "$log")
    cause="there is no $cause for this machine ($(uname -sm), $(.venv/bin/python -c '
import sys
print("Python %d.%d" % sys.version_info[:2])'))"
  elif [[ ! -s $log ]]; then
    cause="no reason was given: is the disk full?"
  else
    cause=$(grep -m 1 -iE '^ *error' "$log" || sed -n '$p' "$log")
  fi
  fail "$1 failed: $cause (details: $log)"
}

# find_python: BASE, an interpreter that fits setup.cfg's python_requires and can make a venv
find_python() {
  local oldest newest name version fitting='' found=''
  oldest=$(sed -n 's/^python_requires *= *>=3\.\([0-9]*\), *<3\.[0-9]*$/\1/p' setup.cfg)
  newest=$(sed -n 's/^python_requires *= *>=3\.[0-9]*, *<3\.\([0-9]*\)$/\1/p' setup.cfg)
  newest=$((newest - 1))
  for name in "${CANDIDATES[@]}"; do
    version=$("$name" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    found="; $name is $version"
    ((${version%.*} == 3 && ${version#*.} >= oldest && ${version#*.} <= newest)) || continue
    fitting=$version
    "$name" -c 'import venv, ensurepip' 2>/dev/null || continue
    BASE=$(command -v "$name")
    return
  done
  if [[ -n $fitting ]]; then
    fail "Python $fitting has no venv module: install it (Debian, Ubuntu: apt-get install python$fitting-venv)"
  fi
  fail "no Python 3.$oldest to 3.$newest on the PATH$found: install one of these (Debian, Ubuntu: apt-get install python3 python3-venv python3-dev; macOS: brew install python@3.13)"
}

# any_python WORD...: ANY, an interpreter for options.py, which needs no packages; the last to be
# tried is the one that --python names among the words
any_python() {
  local word before="" named=""
  for word; do
    [[ $before != --python ]] || named=$word
    [[ $word != --python=* ]] || named=${word#--python=}
    before=$word
  done
  if [[ $named == */* && $named != /* ]]; then named=$FROM/$named; fi
  for ANY in python3 "${CANDIDATES[@]}" .venv/bin/python ${named:+"$named"}; do
    ! "$ANY" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null || return 0
  done
  find_python # says what is missing
  ANY=$BASE
}

# check_compiler: can what BASE compiles extensions with compile one?
check_compiler() {
  local compiler headers
  compiler=${CC:-$("$BASE" -c 'import sysconfig; print(sysconfig.get_config_var("CC") or "cc")')}
  headers=$("$BASE" -c 'import sysconfig; print(sysconfig.get_path("include"))')
  local why="pesq, which asteroid needs, is built from source"
  # $compiler may hold arguments, such as "gcc -pthread"
  # shellcheck disable=SC2086
  printf 'int main(void) { return 0; }\n' | $compiler -fsyntax-only -x c - 2>/dev/null ||
    fail "no C compiler (${compiler%% *}), and $why: install one (Debian, Ubuntu: apt-get install build-essential; macOS: xcode-select --install)"
  # shellcheck disable=SC2086
  printf '#include <Python.h>\n' | $compiler -fsyntax-only -I "$headers" -x c - 2>/dev/null ||
    fail "no Python.h in $headers, and $why: install it (Debian, Ubuntu: apt-get install python${headers##*python}-dev build-essential)"
}

# lock: one run installs at a time. A link is made with its content in one step, everywhere.
lock() {
  local place=$STATE/lock owner refusal told='' tries=0
  if [[ -e .venv && ! -d $STATE && -n $(ls -A .venv 2>/dev/null) ]]; then
    fail ".venv was not made by run.sh: move it away, or use it with --python .venv/bin/python"
  fi
  refusal=$(mkdir -p "$STATE" 2>&1) || fail "cannot write in $ROOT (${refusal##*: })"
  [[ ! -e $place || -L $place ]] || fail "$ROOT/$place is in the way: delete it"
  until refusal=$(ln -s "$(uname -n) $$ $(started $$)" "$place" 2>&1); do
    if ! owner=$(readlink "$place"); then # nobody has it, or no longer
      ((++tries < 5)) || fail "cannot write in $ROOT/$STATE (${refusal##*: })"
      continue
    fi
    judge "$owner"
    if [[ $REPLY == ended ]]; then
      if refusal=$(mv -f "$place" "$place.$$" 2>&1); then
        # another run may have judged so too, and have it by now
        [[ $(readlink "$place.$$") == "$owner" ]] || mv -f "$place.$$" "$place"
        rm -f "$place.$$"
      else
        ((++tries < 5)) || fail "cannot remove $ROOT/$place, of a run that has ended (${refusal##*: })"
      fi
      continue
    fi
    [[ -n $told ]] || say "$REPLY"
    told=yes
    sleep 1
  done
  trap unlock EXIT
}

# judge OWNER: in REPLY, `ended`, or the line that says who is waited for
judge() {
  local host pid since found refusal
  read -r host pid since <<<"$1"
  if [[ $host == "$(uname -n)" && $pid =~ ^[0-9]+$ ]]; then
    found=$(started "$pid")
    # its number may be another's by now; of what is hidden from this user no start is known
    if [[ -n $found && -n $since && $found != "$since" ]]; then
      REPLY=ended
      return
    elif [[ $found == "$since" ]] || kill -0 "$pid" 2>/dev/null; then
      REPLY="another run (process $pid) installs .venv; waiting for it"
      return
    elif refusal=$(LC_ALL=C kill -0 "$pid" 2>&1) || [[ $refusal != *permitted* ]]; then
      REPLY=ended
      return
    fi
  fi
  REPLY="another run (process ${pid:-?} of the machine ${host:-?}) seems to install .venv; waiting"
  REPLY+=" for it: if it does not run any more, delete $ROOT/$STATE/lock"
}

# started PID: when a process of this machine began, in the system's own words; nothing if it is
# not there, or hidden. local/base/processes.py does the same in Python.
started() {
  local line fields=()
  if [[ ! -e /proc/self/stat ]]; then
    read -r -a fields < <(LC_ALL=C TZ=UTC ps -o lstart= -p "$1" 2>/dev/null) || true
    echo "${fields[*]-}" # one space between its words, none behind them
  elif line=$(cat "/proc/$1/stat" 2>/dev/null); then
    read -r -a fields <<<"${line##*) }" # the name before it may hold anything
    if [[ ${fields[0]} == [ZX] ]]; then echo ended; else echo "${fields[19]}"; fi
  fi
}

unlock() {
  rm -f "$STATE/lock"
  trap - EXIT
}

# check_packages: has the interpreter that --python names what this run needs?
check_packages() {
  local problem extra
  # shellcheck disable=SC2046 # pins are words
  problem=$("$PYTHON" -c '
import sys
if sys.version_info < (3, 11):
    sys.exit(print("is Python %d.%d, and winnow needs 3.11" % sys.version_info[:2]))
import importlib.metadata
missing, other = [], []
for pin in sys.argv[1:]:
    name, version = pin.split("==")
    try:
        found = importlib.metadata.version(name).split("+")[0]
    except importlib.metadata.PackageNotFoundError:
        missing.append(pin)
    else:
        if found != version:
            other.append("%s %s (pinned: %s)" % (name, found, version))
if missing:
    print("lacks", " ".join(missing))
elif other:
    print("run.sh: note: %s has %s" % (sys.executable, ", ".join(other)), file=sys.stderr)
' $(pins install_requires; for extra in ${EXTRAS[@]+"${EXTRAS[@]}"}; do pins "$extra"; done)) ||
    problem="is no Python that runs"
  [[ -z $problem ]] || fail "--python $PYTHON $problem"
}

# say TEXT
say() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
}

# fail TEXT: end with one line and exit code 2
fail() {
  say "$1"
  exit 2
}
