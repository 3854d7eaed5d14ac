#!/usr/bin/env bash
# A real, throw-away Slurm on one machine: controller, three virtual nodes (cpu1, cpu2, gpu1 with two pretended GPUs), munge.
#   slurm.sh up FOLDER    writes FOLDER/slurm.conf, starts the daemons, then: source FOLDER/env.sh
#   slurm.sh down FOLDER  stops exactly these
# Needs root and the programs slurmctld, slurmd and munged (Debian: slurm-wlm, munge). No systemd, cgroups or database:
# memory is not enforced, time is.
set -euo pipefail
BASE="$2"
export SLURM_CONF="$BASE/slurm.conf"
NODES="cpu1 cpu2 gpu1"
alive() { [ -f "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }

down() {
    timeout 5 scancel -u "$(id -un)" 2>/dev/null || true
    for f in "$BASE"/pid/slurmd-*.pid "$BASE/pid/slurmctld.pid" "$BASE/munge/munged.pid"; do
        [ -f "$f" ] || continue
        pid="$(cat "$f")"
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 40); do kill -0 "$pid" 2>/dev/null || break; sleep 0.25; done
        kill -9 "$pid" 2>/dev/null || true # slurmd hangs for long when its controller is gone
        rm -f "$f"
    done
}

up() {
    install -d -m 755 "$BASE" "$BASE"/{log,state,spool,pid,munge,bin}
    install -d -m 700 "$BASE/key"
    (umask 077; dd if=/dev/urandom of="$BASE/key/munge.key" bs=1 count=1024 status=none)
    host="$(hostname -s)"
    memory="$(awk '/MemTotal/ {printf "%d", $2 / 1024 * 0.9}' /proc/meminfo)"
    cat > "$SLURM_CONF" <<CONF
ClusterName=throwaway
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$BASE/munge/socket
CryptoType=crypto/munge
SlurmctldPort=16817
SlurmctldPidFile=$BASE/pid/slurmctld.pid
SlurmdPidFile=$BASE/pid/slurmd-%n.pid
SlurmctldLogFile=$BASE/log/slurmctld.log
SlurmdLogFile=$BASE/log/slurmd-%n.log
StateSaveLocation=$BASE/state
SlurmdSpoolDir=$BASE/spool/%n
MpiDefault=none
SwitchType=switch/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=5,sched_interval=5,sched_min_interval=100000,batch_sched_delay=0
DefMemPerCPU=100
MinJobAge=3600
InactiveLimit=0
KillWait=5
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=60
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=cpu1 NodeHostname=$host NodeAddr=127.0.0.1 Port=17001 CPUs=2 RealMemory=$memory State=UNKNOWN
NodeName=cpu2 NodeHostname=$host NodeAddr=127.0.0.1 Port=17002 CPUs=2 RealMemory=$memory State=UNKNOWN
NodeName=gpu1 NodeHostname=$host NodeAddr=127.0.0.1 Port=17003 CPUs=2 RealMemory=$memory Gres=gpu:a100:2 State=UNKNOWN
PartitionName=cpu Nodes=cpu1,cpu2 Default=YES MaxTime=1-00:00:00 State=UP
PartitionName=gpu Nodes=gpu1 Default=NO MaxTime=1-00:00:00 State=UP
CONF
    # any two character devices pretend to be GPUs
    cat > "$BASE/gres.conf" <<CONF
AutoDetect=off
NodeName=gpu1 Name=gpu Type=a100 File=/dev/null
NodeName=gpu1 Name=gpu Type=a100 File=/dev/zero
CONF
    munged --key-file="$BASE/key/munge.key" --socket="$BASE/munge/socket" --pid-file="$BASE/munge/munged.pid" \
        --log-file="$BASE/munge/munged.log" --seed-file="$BASE/key/munged.seed"
    slurmctld -f "$SLURM_CONF"
    sleep 0.5
    # nodes see files through mounts of their own, where the machine lets us, so that a test can give them a network file system
    own_mounts="unshare --mount --propagation private"
    $own_mounts true 2>/dev/null || own_mounts=""
    for n in $NODES; do $own_mounts slurmd -f "$SLURM_CONF" -N "$n"; done
    # the executor takes SLURM_CONF away before it calls Slurm's commands: wrappers put it back
    for c in srun sbatch squeue sacct sacctmgr sshare scancel scontrol sinfo; do
        real="$(PATH=/usr/bin:/bin command -v $c)" || continue
        printf '#!/bin/sh\nSLURM_CONF=%s exec %s "$@"\n' "$SLURM_CONF" "$real" > "$BASE/bin/$c"
        chmod 755 "$BASE/bin/$c"
    done
    printf 'export SLURM_CONF=%s\nexport PATH=%s/bin:$PATH\n' "$SLURM_CONF" "$BASE" > "$BASE/env.sh"
    for _ in $(seq 40); do
        alive "$BASE/pid/slurmctld.pid" || { grep -E "fatal|error: bind" "$BASE/log/slurmctld.log" | tail -3 >&2; exit 1; }
        [ "$(timeout 5 sinfo -h -N -t idle,alloc,mix -o %N 2>/dev/null | sort -u | wc -l)" = 3 ] && return 0
        sleep 0.5
    done
    echo "the nodes did not come up" >&2
    exit 1
}

case "$1" in
    up) up || { down; exit 1; } ;;
    down) down ;;
    *) echo "expected up or down" >&2; exit 2 ;;
esac
