// Package dialect reads the labels and annotations by which users of
// Kubernetes say how important their pods are, in the words of the projects
// that they have:
//
//	anole.io/qos-class                LSE LSR LS BE SYSTEM NONE
//	anole.io/cpu-burst                off, auto, 300ms, 200%
//	koordinator.sh/qosClass           LSE LSR LS BE SYSTEM (apis/extension/qos.go)
//	koordinator.sh/cpuBurst           JSON (apis/slo/v1alpha1: CPUBurstConfig)
//	volcano.sh/qos-level              LC HLS LS BE (pkg/agent/apis/extension/qos.go), or a
//	                                  number of which only the sign counts, as before that
//	volcano.sh/preemptable            true, false (rubik and Volcano's scheduler)
//	katalyst.kubewharf.io/qos_level   dedicated_cores shared_cores reclaimed_cores system_cores
//
// Words count as their projects spell them, in labels and annotations alike.
// The package is pure. All it reads comes from tenants: nothing there is an
// error, what cannot be followed is a Refusal.
package dialect
