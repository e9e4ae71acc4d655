package sm4

//go:generate ../_asm/run.sh sm4 -out sm4_amd64.s -stubs stubs_amd64.go -pkg sm4
//go:generate ../_asm/run.sh sm4gates -out sbox.go
