package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"cure/attacks"
)

// sizeValue is a flag for a size in pixel units of [0, 1], written like 8/255.
type sizeValue struct{ v *float64 }

func (s sizeValue) String() string {
	if s.v == nil { // pflag asks the zero value
		return ""
	}
	return fmt.Sprintf("%.4g/255", 255**s.v)
}

func (s sizeValue) Set(text string) error {
	v, err := attacks.ParseEps(text)
	if err == nil {
		*s.v = v
	}
	return err
}

func (s sizeValue) Type() string { return "size" }

// addSize adds a flag for a size, whose default is the value of v.
func addSize(fs *pflag.FlagSet, v *float64, name, help string) {
	fs.Var(sizeValue{v}, name, help+", in pixels of [0, 1], such as 8/255")
}

// addAttacks adds --attack, a list of presets.
func addAttacks(fs *pflag.FlagSet, list *[]attacks.Attack, help string) {
	fs.Var(attacksValue{list}, "attack", help+": presets with commas between")
}

// attacksValue is a flag for a list of attacks.
type attacksValue struct{ list *[]attacks.Attack }

func (a attacksValue) String() string {
	text := ""
	if a.list != nil {
		for i, attack := range *a.list {
			if i > 0 {
				text += ","
			}
			text += attack.Name
		}
	}
	return text
}

func (a attacksValue) Set(text string) error {
	list, err := attacks.ParseList(text)
	if err == nil {
		*a.list = list
	}
	return err
}

func (a attacksValue) Type() string { return "list" }

// wantAttacks says what is wrong with a list for an analysis that needs attacks.
func wantAttacks(list []attacks.Attack) error {
	for _, a := range list {
		if a.Method == nil {
			return usage("--attack: %s attacks nothing: want attacks, such as pgd20", a.Name)
		}
	}
	return nil
}
