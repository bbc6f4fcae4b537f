// Package deploy writes the files that hand the tasks of a sweep to a cluster: a Slurm array with the script that submits it
// ([Job.Slurm], [Job.Submit]) and a Kubernetes Indexed Job ([Job.Kubernetes]). Beside them lies the Containerfile of the
// image. README.md has the commands that a user types.
//
// A task gets its index from SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX. Its folder must be seen by all machines under one
// path and pass file locks on (NFS 4, CephFS, Lustre mounted with flock); a Kubernetes volume must be ReadWriteMany where
// pods run on several nodes.
package deploy
