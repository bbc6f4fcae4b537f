package main

import (
	"fmt"
	"os"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"cure/cureml/backend"
)

const backendHelp = "xla, cuda, go or xla:/path/to/plugin.so (default: what is there)"

// checkBackend is a usage error for a --backend that does not exist.
func checkBackend(name string) error {
	if name == "" {
		return nil
	}
	if err := backend.CheckName(name); err != nil {
		return usage("--backend: %w", err)
	}
	return nil
}

// openBackend opens the backend of a --backend flag. One that exists and cannot be opened is a failure: another node of a
// cluster may do better.
func openBackend(name string) (compute.Backend, error) { return openDevices(name, 1) }

// openDevices is openBackend with the value of a --devices flag.
func openDevices(name string, devices int) (compute.Backend, error) {
	if err := checkBackend(name); err != nil {
		return nil, err
	}
	b, err := backend.Open(backend.Options{Name: name, Log: os.Stderr, Deterministic: true, Devices: devices})
	if err != nil && devices > 1 {
		return nil, usage("--devices %d: %w", devices, err)
	}
	if err != nil && name != "" {
		return nil, fmt.Errorf("--backend %s: %w", name, err)
	}
	return b, err
}

func newSetup() *cobra.Command {
	var gpu, force bool
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Install what is missing for computing with XLA",
		Long: `Make sure that a PJRT plugin for XLA is there and works. One that is installed already is used; else go-xla's
installer fetches its own, and where that cannot be reached a pinned wheel comes through pip. Calling it again is harmless.`,
		Example: `  cure setup`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opt := backend.SetupOptions{Platform: backend.CPU, Force: force, Log: os.Stderr}
			if gpu {
				opt.Platform = backend.CUDA
			}
			plugin, err := backend.Setup(cmd.Context(), opt)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), plugin.Path)
			return nil
		},
	}
	cmd.Flags().BoolVar(&gpu, "gpu", false, "for an NVIDIA GPU, with NVIDIA's libraries (more than 2 GB)")
	cmd.Flags().BoolVar(&force, "force", false, "install even where a plugin is there already")
	return cmd
}

func newDoctor() *cobra.Command {
	var folders []string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what computes here, which data sets are found and what is missing",
		Long: `Print the backend, plugin, devices and data sets that are found, and what to do about each thing missing. The exit
code is 1 where XLA does not work.`,
		Example: `  cure doctor`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !backend.Doctor(cmd.OutOrStdout(), describeSets(folders)...) {
				return fmt.Errorf("XLA does not work here; the lines above say what to do")
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&folders, "data", nil, "further folder to look for data sets in; may be given again")
	return cmd
}
