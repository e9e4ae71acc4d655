package sm3

//go:generate ../_asm/run.sh sm3 -out sm3_amd64.s -stubs stubs_amd64.go -pkg sm3
