package cureml

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Set changes one value of c by its path in config.json, such as mart.beta or schedule.max. A number may be a fraction
// like 8/255; lists are JSON. The result is not validated.
func (c *Config) Set(path, value string) error {
	text, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("cureml: %w", err)
	}
	var tree map[string]any
	numbers := json.NewDecoder(bytes.NewReader(text))
	numbers.UseNumber() // a seed is more than a float64 can hold
	if err := numbers.Decode(&tree); err != nil {
		return fmt.Errorf("cureml: %w", err)
	}
	keys := strings.Split(path, ".")
	at := tree
	for _, key := range keys[:len(keys)-1] {
		next, ok := at[key].(map[string]any)
		if !ok {
			next = map[string]any{}
			at[key] = next
		}
		at = next
	}
	var refused error
	for _, v := range []any{parseValue(value), value} { // a name may look like a number
		at[keys[len(keys)-1]] = v
		if text, err = json.Marshal(tree); err != nil {
			return fmt.Errorf("cureml: %w", err)
		}
		var changed Config
		if err = decodeStrict(text, &changed); err == nil {
			*c = changed
			return nil
		}
		if refused == nil {
			refused = fmt.Errorf("cureml: %s=%s: %w", path, value, err)
		}
	}
	return refused
}

// parseValue is a JSON value, a fraction, or a word.
func parseValue(text string) any {
	if a, b, ok := strings.Cut(text, "/"); ok {
		x, errA := strconv.ParseFloat(a, 64)
		y, errB := strconv.ParseFloat(b, 64)
		if errA == nil && errB == nil && y != 0 {
			return x / y
		}
	}
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	return text
}
