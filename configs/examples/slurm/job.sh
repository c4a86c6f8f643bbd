#!/bin/bash
# One run over the tasks of a Slurm array. Each takes its share of the splits; who is done
# helps, and takes over from a task that is lost.
#
#   sbatch job.sh job.yaml                                # from the job file's folder
#   CPR_BATCH_DATE=$(date -u +%F) sbatch job.sh job.yaml  # where the job file has ${date}
#   sbatch --array=0-15 job.sh job.yaml --deadline 7h     # further words go to cpr-batch
#
# The output folder has to be one that all nodes see (or gs://), and so have the job file,
# the model and the input. After a task that ended with status 1, or was killed, the same
# command carries the run on; 2 and 3 will not pass by themselves.

#SBATCH --job-name=cpr-batch
#SBATCH --array=0-3
#SBATCH --cpus-per-task=1
#SBATCH --mem-per-cpu=500M
#SBATCH --time=08:00:00

# A task whose node is lost, or that is pre-empted, is queued again: it carries on.
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%A_%a.log

# SIGTERM a minute before the time is over. B: means to this process alone, which exec below
# makes the program; without B: it would go to the steps of srun, of which there are none.
#SBATCH --signal=B:TERM@60

# Workers as many as Slurm has given CPUs: a node has more than are ours.
workers=${SLURM_CPUS_PER_TASK:-1}

# scancel, scontrol requeue and pre-emption send SIGTERM to all processes of the task, and
# SIGKILL after the cluster's KillWait (30 s; `scontrol show config`), or the partition's
# GraceTime: --drain-timeout is shorter than either.
#
# exec: the program takes the shell's place. A shell that waited for it would die of SIGTERM,
# and Slurm would kill what is left of the task at once, in the middle of its draining.
exec cpr-batch run --config "$1" --set "workers.count=$workers" --drain-timeout 25s --progress plain "${@:2}"
