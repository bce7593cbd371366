// Package acceptance tells what Kura promises as stories, and has real clients judge them: the
// built binary on random loopback ports, the AWS CLI, boto3, rclone, restic, s3cmd, aws-sdk-go-v2
// and minio-go.
//
// A story is a script in stories/, one for each promise (package testscript of rogpeppe/go-internal
// explains the language). Beside its commands a story has
//
//	kura-start [-fail] [flag…]  start the server on $WORK/data and wait until it is ready; sets what
//	                            client.env says, ENDPOINT (http) and ENDPOINT_TLS. With -fail it must
//	                            not start: its exit status and output are the command's
//	kura-stop                   SIGTERM; it must end in time with status 0
//	kura-kill                   SIGKILL
//	http METHOD URL [NAME:VALUE…]   one request without credentials; prints status, headers and body
//	random FILE SIZE            make a file of pseudo-random bytes
//	nowhere TEXT DIR            no file below DIR holds the bytes of TEXT
//	damage DIR                  flip one bit in the middle of the largest file below DIR
//
// and the condition [client:NAME], true when the program NAME (or, for boto3, the Python module)
// is there. A client that is missing is told loudly and its stories are skipped. Terraform takes its
// provider from TF_PLUGIN_DIR, a directory as terraform init -plugin-dir wants it.
package acceptance
