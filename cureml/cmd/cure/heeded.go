package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"cure/attacks"
	"cure/cureml"
)

// ofMethods says of flags of `cure train` whether a method uses them; all methods use those that are not here.
var ofMethods = map[string]func(m cureml.Method, recipe cureml.Config) bool{
	"beta":            func(_ cureml.Method, c cureml.Config) bool { return c.Trades != (cureml.TradesConfig{}) },
	"face":            usesCure,
	"alpha":           usesCure,
	"gamma":           usesCure,
	"percentile":      usesCure,
	"ema-rate":        usesCure,
	"ema-decay":       usesCure,
	"ema-bn":          usesCure,
	"warmup-epochs":   usesCure,
	"teacher":         func(m cureml.Method, _ cureml.Config) bool { return learnsFrom(m, cureml.RobustTeacher) },
	"natural-teacher": func(m cureml.Method, _ cureml.Config) bool { return learnsFrom(m, cureml.NaturalTeacher) },
}

func usesCure(_ cureml.Method, c cureml.Config) bool { return c.Cure != (cureml.CureConfig{}) }

func learnsFrom(m cureml.Method, role string) bool {
	return slices.ContainsFunc(m.Networks, func(n cureml.Network) bool { return n.Kind == cureml.Frozen && n.Role == role })
}

// heeded refuses flags that were typed and that the method does not use.
func heeded(typed *pflag.FlagSet, method string) (err error) {
	uses := func(flag, method string) bool {
		c := cureml.Defaults(method)
		m, err := cureml.NewMethod(c)
		return err != nil || ofMethods[flag](m, c) // an unknown method is told as such elsewhere
	}
	typed.Visit(func(flag *pflag.Flag) {
		if err != nil || ofMethods[flag.Name] == nil || uses(flag.Name, method) {
			return
		}
		users := slices.DeleteFunc(cureml.MethodNames(), func(m string) bool { return !uses(flag.Name, m) })
		err = fmt.Errorf("--%s: method %s does not use it, only %s: --set and --print-config have its own settings", flag.Name, method, strings.Join(users, ", "))
	})
	return err
}

// heededBy refuses flags of attacks that were typed and that no attack of the list takes.
func heededBy(list []attacks.Attack, typed *pflag.FlagSet) error {
	for _, flag := range []string{"steps", "queries", "restarts", "step-size"} {
		setting := strings.ReplaceAll(flag, "-", " ")
		takes := func(a attacks.Attack) bool { return slices.Contains(a.Takes(), setting) }
		if typed.Changed(flag) && !slices.ContainsFunc(list, takes) {
			var names []string
			for _, a := range list {
				names = append(names, a.Name)
			}
			return usage("--%s: %s does not heed it", flag, strings.Join(names, ", "))
		}
	}
	return nil
}
