package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cure/data"
)

func newData() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "data",
		Short:   "List, download, describe and corrupt data sets",
		Example: `  cure data list`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("unknown command %q: accepted are list, download, info, corrupt", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDataList(), newDataDownload(), newDataInfo(), newDataCorrupt())
	return cmd
}

func newDataList() *cobra.Command {
	return &cobra.Command{
		Use:   "list [FOLDER...]",
		Short: "List the data sets that are found, and those that can be downloaded",
		Long: `List the embedded data set, those found in the folders given, in $CURE_DATA, in data-raw here and in the
checkout, and in the user's cache, and those that 'cure data download' fetches.`,
		Example: `  cure data list
  cure data list data-raw`,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, line := range describeSets(args) {
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%-12s %s\n", "downloads", strings.Join(data.Downloads(), ", "))
			return nil
		},
	}
}

func newDataDownload() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "download NAME",
		Short: "Download a data set from its official address",
		Long: `Download a data set from its official address, check its SHA-256 and print the path to give to --data. A download
that was cut short goes on where it stopped. Names: ` + strings.Join(data.Downloads(), ", ") + `.`,
		Example: `  cure data download cifar-10 --dir data-raw`,
		Args:    oneArg("one of " + strings.Join(data.Downloads(), ", ")),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if !slices.Contains(data.Downloads(), args[0]) {
				return usage("unknown data set %q: accepted are %s", args[0], strings.Join(data.Downloads(), ", "))
			}
			if dir == "" {
				if dir, err = downloadFolder(); err != nil {
					return err
				}
			}
			show := newProgress(os.Stderr)
			path, err := data.Download(cmd.Context(), args[0], dir, show.download)
			show.end()
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), path)
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder to put it in (default: the first of $CURE_DATA, else the user's cache)")
	return cmd
}

func newDataInfo() *cobra.Command {
	return &cobra.Command{
		Use:     "info mini|PATH",
		Short:   "Describe a data set: splits, classes, mean and deviation of the channels; or a folder like CIFAR-10-C",
		Example: `  cure data info mini`,
		Args:    oneArg("mini, or the path of a data set"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := os.Stat(filepath.Join(args[0], "labels.npy")); err == nil {
				return describeCorrupted(cmd.OutOrStdout(), args[0])
			}
			train, trainErr := splitOf("PATH", args[0], "train")
			test, testErr := splitOf("PATH", args[0], "test")
			switch {
			case trainErr != nil && testErr != nil:
				return trainErr
			case trainErr != nil:
				fmt.Fprintln(os.Stderr, "no training images:", oneLine(trainErr))
			case testErr != nil:
				fmt.Fprintln(os.Stderr, "no test images:", oneLine(testErr))
			case bytes.Equal(train.Images, test.Images): // a single file, which is taken for the split asked for
				train.Split, test = "train or test", nil
			}
			for _, set := range []*data.Set{train, test} {
				if set != nil {
					describeSet(cmd.OutOrStdout(), set)
				}
			}
			return nil
		},
	}
}

// describeSet prints a few lines about a set.
func describeSet(w io.Writer, s *data.Set) {
	counts := make([]int, len(s.Classes))
	for _, y := range s.Labels {
		counts[y]++
	}
	fmt.Fprintf(w, "%s, %s: %d images [%d, %d, %d], %d classes\n", s.Name, s.Split, s.Len(), data.Height, data.Width, data.Channels, len(s.Classes))
	mean, std := channelMoments(s.Images)
	fmt.Fprintf(w, "  mean %.4f %.4f %.4f, std %.4f %.4f %.4f\n", mean[0], mean[1], mean[2], std[0], std[1], std[2])
	names := make([]string, len(counts))
	for i, n := range counts {
		names[i] = fmt.Sprintf("%s %d", s.Classes[i], n)
	}
	fmt.Fprintf(w, "  %s\n", strings.Join(names, ", "))
}

// describeCorrupted prints a line about a folder in the layout of CIFAR-10-C.
func describeCorrupted(w io.Writer, dir string) error {
	c, err := data.OpenCorrupted(dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s, %s, corrupted: %d images in each of 5 severities, %d classes\n  %s\n",
		c.Name, c.Split, c.Len(), len(c.Classes), strings.Join(c.Names, ", "))
	return nil
}

// channelMoments are mean and standard deviation of each channel, in pixels of [0, 1].
func channelMoments(images []uint8) (mean, std [data.Channels]float64) {
	var sum, squares [data.Channels]int64
	for i, v := range images {
		sum[i%data.Channels] += int64(v)
		squares[i%data.Channels] += int64(v) * int64(v)
	}
	n := float64(len(images) / data.Channels)
	for c := range mean {
		m := float64(sum[c]) / n
		mean[c], std[c] = m/255, math.Sqrt(float64(squares[c])/n-m*m)/255
	}
	return mean, std
}
