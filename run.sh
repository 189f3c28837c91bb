#!/usr/bin/env bash
# winnow: from triplets of mixture, voice and noise to a report per SNR, in stages.
# `./run.sh --help` shows the options; local/shell/options.sh reads them.
set -euo pipefail
unset CDPATH # it would make cd print and wander
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

STAGES=(prepare train evaluate report compare) # number N runs local/<its name>.py

# Every option: its stage (- for those of run.sh itself), name, kind of value (- for none) and
# meaning. What stands here is read, checked, shown by --help and, where it has a stage, handed
# to that stage's program. The keys of a recipe's conf.yml come on top, by their dotted names.
OPTION_TABLE='
-  stage         STAGE        first stage to run; default 0
-  stop-stage    STAGE        last stage to run; default 4
-  model         NAME         recipe to run; default convtasnet, alone what ships
-  data          DIR          root of a tree of triplets; default the embedded egs_data
-  name          WORD         what to call the data set; default the last part of DIR
-  preset        NAME         partial settings of the recipe: tiny, small, ...; default all its settings
-  tag           WORD         what tells this experiment from others of the recipe
1  restart       -            train from scratch and forget what was trained before
1  init          WEIGHTS      start from the weights of a recipe, an experiment or a file
1  refit         -            with --init: learn anew what is learnt without gradients
-  python        PATH         use this interpreter, install nothing
-  test          -            run the test suite; what follows -- goes to pytest
-  slow          -            with --test: the long tests too
-  list          -            show the recipes
-  help          -            show this
0  channel       N            which channel of files that hold several, the first is 0
0  max-rejected  PERCENT      how much of the data may be rejected
2  metrics       LIST         which metrics, separated by commas
2  engine        fast|museval who computes BSS Eval
2  jobs          COUNT        processes that score at the same time
2  scheduler     ADDRESS      Dask cluster that scores
3  num-examples  N            examples per SNR to listen to on the page
'

# shellcheck source=local/shell/options.sh
source "$ROOT/local/shell/options.sh"
# shellcheck source=local/shell/environment.sh
source "$ROOT/local/shell/environment.sh"

# stage NUMBER ARGUMENT...: one program, shown and run as a child, where its stage is asked for
stage() {
  local number=$1
  ((number >= FIRST && number <= LAST)) || return 0
  stage_arguments "$number"
  run -m "local.${STAGES[number]}" "${@:2}" ${ARGUMENTS[@]+"${ARGUMENTS[@]}"}
}

# run ARGUMENT...: Python, shown and run; its failure ends the run with its exit code
run() {
  { printf '+ %q' "$PYTHON" && printf ' %q' "$@" && echo; } >&2
  "$PYTHON" "$@" || exit
}

{ # bash reads a group whole before it runs it: this file may change during a long training
  read_options "$@" # FIRST, LAST, RECIPE, EXPERIMENT, DATA, NAME, SETTINGS, EXTRAS, PYTEST
  cd "$ROOT"
  environment # PYTHON
  if given test; then
    run -m pytest ${PYTEST[@]+"${PYTEST[@]}"}
    exit
  fi
  check_settings # NAME

  stage 0 --data="$DATA" --name="$NAME"
  stage 1 "${EXPERIMENT[@]}" ${SETTINGS[@]+"${SETTINGS[@]}"}
  stage 2 "${EXPERIMENT[@]}"
  stage 3 "${EXPERIMENT[@]}"
  stage 4 ${NAME:+--name="$NAME"}
  exit
}
