package module

import (
	"context"
	"fmt"
	"os"
	"os/exec"
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
	agent.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := agent.Start(); err != nil {
		return fmt.Errorf("start the agent: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- agent.Wait() }()
	defer func() {
		_ = agent.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = agent.Process.Kill()
		}
		fmt.Fprintln(env.Out, "the node is as it was")
	}()
	if err := up(ctx, env, ended); err != nil {
		return err
	}
	fmt.Fprint(env.Out, `
The agent stays up with the same load, protected.
  console   http://127.0.0.1:7070
  terminal  anole qos top · anole qos status · anole doctor
^C ends it and puts the node back.
`)
	return bench.Keep(ctx, o)
}

// up waits until the agent answers.
func up(ctx context.Context, env *core.Env, ended <-chan error) error {
	for range 100 {
		if agentRuns(env) {
			return nil
		}
		select {
		case err := <-ended:
			return fmt.Errorf("the agent ended: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return core.Exit(core.ExitUnreachable, fmt.Errorf("the agent did not answer within 10 s; see its messages above"))
}
