package lanes

//go:generate ../../../_asm/run.sh sm2 -out lanes_amd64.s -stubs stubs_amd64.go -pkg lanes
