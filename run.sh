#!/usr/bin/env bash
# winnow: from triplets of mixture, voice and noise to a report per SNR, in stages.
# `./run.sh --help` shows the options; local/shell/options.py reads them.
set -euo pipefail
unset CDPATH # it would make cd print and wander
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# shellcheck source=local/shell/environment.sh
source "$ROOT/local/shell/environment.sh"

# read_options WORD...: what options.py makes of the command line. Kept to bash 3.2 (macOS):
# no associative arrays, and empty arrays expand as ${a[@]+"${a[@]}"}.
read_options() {
  local name value
  PYTHON='' TASK='' FIRST=0 LAST=0
  EXTRAS=() PYTEST=() CHECK=() PREPARE=() TRAIN=() EVALUATE=() REPORT=() COMPARE=() TUNE=()
  any_python "$@" # ANY
  while IFS= read -r -d '' name && IFS= read -r -d '' value; do
    case $name in
      say) printf '%s\n' "$value" ;;
      python) PYTHON=$value ;;
      first) FIRST=$value ;;
      last) LAST=$value ;;
      extra) EXTRAS+=("$value") ;;
      pytest) PYTEST+=("$value") ;;
      check) CHECK+=("$value") ;;
      prepare) PREPARE+=("$value") ;;
      train) TRAIN+=("$value") ;;
      evaluate) EVALUATE+=("$value") ;;
      report) REPORT+=("$value") ;;
      compare) COMPARE+=("$value") ;;
      tune) TUNE+=("$value") ;;
      end) TASK=$value ;;
    esac
  done < <("$ANY" -m local.shell.options "$FROM" "$@")
  [[ $TASK ]] || exit 2 # the line of what is wrong stands there already
}

# check_settings: what can only be checked with Python's packages, before anything runs
check_settings() {
  local name
  name=$("$PYTHON" -m local.check "${CHECK[@]}") || exit
  [[ -z $name ]] || COMPARE+=(--name="$name") # the data set of the experiment before
}

# stage NUMBER: is it asked for?
stage() {
  (($1 >= FIRST && $1 <= LAST))
}

# run ARGUMENT...: Python, shown and run; its failure ends the run with its exit code
run() {
  { printf '+ %q' "$PYTHON" && printf ' %q' "$@" && echo; } >&2
  "$PYTHON" "$@" || exit
}

{ # bash reads a group whole before it runs it: this file may change during a long training
  FROM=$PWD
  cd "$ROOT"
  read_options "$@"
  if [[ $TASK == said ]]; then exit; fi
  environment # PYTHON
  if [[ $TASK == test ]]; then
    run -m pytest ${PYTEST[@]+"${PYTEST[@]}"}
    exit
  fi
  check_settings

  if stage 0; then run -m local.prepare "${PREPARE[@]}"; fi
  if stage 1; then run -m local.train "${TRAIN[@]}"; fi
  if stage 2; then run -m local.evaluate "${EVALUATE[@]}"; fi
  if stage 3; then run -m local.report "${REPORT[@]}"; fi
  if [[ $TASK == tune ]]; then run -m local.tune "${TUNE[@]}"; fi
  if stage 4; then run -m local.compare ${COMPARE[@]+"${COMPARE[@]}"}; fi
  exit
}
