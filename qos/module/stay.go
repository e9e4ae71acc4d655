package module

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/qos/bench"
)

// stay keeps the agent up with the demo's load, for people to look around,
// until ^C; then everything is put back.
func stay(cmd *cobra.Command, o bench.Options) error {
	ctx := cmd.Context()
	env := core.EnvFrom(ctx)
	args := []string{"up", "--state-dir", env.StateDir, "--run-dir", env.RunDir}
	if _, err := os.Stat(env.Config); err == nil {
		args = append(args, "--config", env.Config)
	}
	agent := exec.Command(o.Agent[0], args...)
	agent.Stderr = env.Err
	// Its own group: ^C goes to this process, which ends the agent in order.
	// Should this process be killed, the agent still puts the node back.
	agent.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	runtime.LockOSThread() // the death of the parent's thread counts for Pdeathsig
	defer runtime.UnlockOSThread()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
	defer stop()
	if err := agent.Start(); err != nil {
		return fmt.Errorf("start the agent: %w", err)
	}
	ended := make(chan struct{})
	var how error
	go func() {
		how = agent.Wait()
		close(ended)
	}()
	err := stayUp(ctx, env, o, ended)
	_ = agent.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		_ = agent.Process.Kill()
		<-ended
	}
	if how != nil {
		return errors.Join(err, fmt.Errorf("the agent ended badly: %w; put the node back with \"anole revert\"", how))
	}
	fmt.Fprintln(env.Out, "the node is as it was")
	return err
}

// stayUp runs the load while the agent is there.
func stayUp(ctx context.Context, env *core.Env, o bench.Options, ended <-chan struct{}) error {
	if err := up(ctx, env, ended); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		<-ended
		cancel()
	}()
	fmt.Fprint(env.Out, `
The agent stays up with the same load, protected.
  console   http://127.0.0.1:7070
  terminal  anole qos top · anole qos status · anole doctor
^C ends it and puts the node back.
`)
	return bench.Keep(ctx, o)
}

// up waits until the agent answers.
func up(ctx context.Context, env *core.Env, ended <-chan struct{}) error {
	for range 100 {
		if agentRuns(env) {
			return nil
		}
		select {
		case <-ended:
			return errors.New("the agent did not stay up; see its messages above")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return core.Exit(core.ExitUnreachable, fmt.Errorf("the agent did not answer within 10 s; see its messages above"))
}
