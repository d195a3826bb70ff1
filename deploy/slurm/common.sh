# shellcheck shell=bash disable=SC2034  # what is set here is read by the two scripts
# What control.sbatch and rollout.sbatch share. README.md lists the settings, which come from the environment.

# ---- settings ----
here=${EVILMOE_SLURM:-${SLURM_SUBMIT_DIR:?submit from deploy/slurm, or set EVILMOE_SLURM to that folder}}
EVILMOE_BIN=${EVILMOE_BIN:-$(cd "$here/../.." && pwd)/build/release/bin}
EVILMOE_SHARED=${EVILMOE_SHARED:?set it to a folder that every node sees under this path}
EVILMOE_SECRETS=${EVILMOE_SECRETS:-$EVILMOE_SHARED/secrets}
EVILMOE_ROOTS=${EVILMOE_ROOTS:-$EVILMOE_SHARED/inputs}
EVILMOE_PORT=${EVILMOE_PORT:-7431}
EVILMOE_DRAIN_S=${EVILMOE_DRAIN_S:-120}
endpoint_file=$EVILMOE_SHARED/endpoint
cores=${SLURM_CPUS_PER_TASK:-1}
gpus=${SLURM_GPUS_ON_NODE:-0}

say() { printf '%s %s: %s\n' "$(date -u +%FT%TZ)" "${SLURM_JOB_NAME:-evilmoe}" "$*"; }

# A short folder of this node, for sockets and configs; gone with the job.
job_folder() {
  local folder
  folder=$(mktemp -d "/tmp/evilmoe-${SLURM_JOB_ID:-0}-XXXXXX")
  mkdir -p "$EVILMOE_SHARED"/{coordinator,inputs,logs,runs}
  echo "$folder"
}

# render TEMPLATE FILE NAME=VALUE...: replaces every @NAME@; one that is left over is an error.
render() {
  local template=$1 file=$2 pair
  local script=()
  for pair in "${@:3}"; do script+=(-e "s|@${pair%%=*}@|${pair#*=}|g"); done
  sed "${script[@]}" "$here/config/$template" >"$file"
  ! grep -n '@[A-Z_]*@' "$file" || { say "$template: a placeholder without a value"; return 1; }
}

# await WHAT SECONDS COMMAND...: until the command succeeds, once a second.
await() {
  local what=$1 seconds=$2 i
  for ((i = 0; i < seconds; ++i)); do
    if "${@:3}"; then return; fi
    sleep 1
  done
  say "$what: not there after $seconds s"
  return 1
}

# ---- processes ----
# keep NAME FUNCTION: runs what FUNCTION execs, and again where it ends by itself; after six ends within a minute of
# their start it gives up with exit code 1. SIGTERM is passed on, and then its end is the end.
keep() {
  local name=$1 start=$2
  (
    child=0 stopping=0 quick=0
    trap 'stopping=1; ((child == 0)) || kill -TERM "$child" 2>/dev/null' TERM
    while ((quick < 6 && !stopping)); do
      began=$SECONDS
      ("$start") &
      child=$!
      while :; do
        wait "$child"
        code=$?
        kill -0 "$child" 2>/dev/null || break
      done
      ((stopping)) && exit 0
      say "$name ended with code $code"
      ((SECONDS - began < 60)) && quick=$((quick + 1)) || quick=0
      sleep $((quick < 3 ? 1 : 5))
    done
    ((stopping)) || { say "$name ends again and again: giving up"; exit 1; }
  ) &
  kept=$!
}

# Whether all of these processes are there.
alive() {
  local pid
  for pid in "$@"; do kill -0 "$pid" 2>/dev/null || return 1; done
}

# stop NAME PID: SIGTERM, and its end.
stop() {
  local name=$1 pid=$2
  ((pid)) || return 0
  say "stopping $name"
  kill -TERM "$pid" 2>/dev/null || true
  while kill -0 "$pid" 2>/dev/null; do wait "$pid" || true; done
}

# Whether Slurm is about to end a job that goes on: its time is up. A job that is cancelled or preempted is not RUNNING.
time_is_up() {
  local job state end
  job=$(scontrol show job -o "$SLURM_JOB_ID" 2>/dev/null | head -n 1) || return 1
  state=$(sed -n 's/.* JobState=\([A-Z]*\) .*/\1/p' <<<"$job")
  end=$(sed -n 's/.* EndTime=\([^ ]*\) .*/\1/p' <<<"$job")
  [[ "$state" == RUNNING && "$end" == 20* ]] && (($(date -d "$end" +%s) - $(date +%s) < 600))
}

# Puts the job back into the queue, to go on where it stopped.
requeue_if_time_is_up() {
  if time_is_up; then
    say "time is up: back into the queue"
    scontrol requeue "$SLURM_JOB_ID"
  fi
}
