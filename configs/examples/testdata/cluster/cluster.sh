#!/bin/sh
# A Slurm of one node, for as long as somebody holds standard input open. Then, also when
# whoever held it was killed, all jobs are ended, and the daemons.
slurmctld -D -c -f "$SLURM_CONF" &
controller=$!
slurmd -D -f "$SLURM_CONF" &
node=$!

read -r _

tries=50
while [ $tries -gt 0 ] && ! { jobs=$(timeout 5 squeue -h -r -o %A) && [ -z "$jobs" ]; }; do
	# Without quotes: an argument a job.
	timeout 5 scancel --full --signal=KILL $jobs
	timeout 5 scancel $jobs
	tries=$((tries - 1))
	sleep 0.2
done
kill $node $controller
wait
