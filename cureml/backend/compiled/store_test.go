package compiled

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestStore(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "new"), Salt: "plugin 1", Most: 1 << 20}
	key := s.key([]byte("program"), []byte("options"))
	if got := s.get(key); got != nil {
		t.Errorf("an empty store has %q", got)
	}
	s.put(key, []byte("code"))
	if got := s.get(key); string(got) != "code" {
		t.Errorf("got %q", got)
	}
	other := s
	other.Salt = "plugin 2"
	for name, k := range map[string]string{
		"program": s.key([]byte("Program"), []byte("options")), "options": s.key([]byte("program"), []byte("Options")),
		"where one ends": s.key([]byte("programo"), []byte("ptions")), "salt": other.key([]byte("program"), []byte("options")),
	} {
		if k == key {
			t.Errorf("another %s has the same key", name)
		}
	}
}

// TestDamaged: a file that was cut, changed or emptied is as if it were not there, and goes.
func TestDamaged(t *testing.T) {
	s := Store{Dir: t.TempDir(), Most: 1 << 20}
	key := s.key([]byte("program"), nil)
	for name, damage := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)-1] },
		"changed": func(b []byte) []byte { b[2] ^= 1; return b },
		"short":   func(b []byte) []byte { return b[:5] },
		"emptied": func([]byte) []byte { return nil },
	} {
		s.put(key, []byte("code"))
		text, err := os.ReadFile(key)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(key, damage(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := s.get(key); got != nil {
			t.Errorf("%s: got %q", name, got)
		}
		if _, err := os.Stat(key); err == nil {
			t.Errorf("%s: the file is still there", name)
		}
	}
}

// TestTrim: what was not used for longest goes first, and nothing else in the folder.
func TestTrim(t *testing.T) {
	s := Store{Dir: t.TempDir(), Most: 3*(1000+32) + 10}
	note := filepath.Join(s.Dir, "note.txt")
	if err := os.WriteFile(note, bytes.Repeat([]byte("x"), 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for i := range 3 {
		key := s.key([]byte{byte(i)}, nil)
		s.put(key, make([]byte, 1000))
		past := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(key, past, past); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	if s.get(keys[0]) == nil { // the oldest is now the one used last
		t.Fatal("a program is gone too early")
	}
	s.put(s.key([]byte{3}, nil), make([]byte, 1000))
	for i, want := range []bool{true, false, true} {
		if _, err := os.Stat(keys[i]); (err == nil) != want {
			t.Errorf("program %d: there %v, want %v", i, err == nil, want)
		}
	}
	if _, err := os.Stat(note); err != nil {
		t.Error(err)
	}
}

// TestNowhere: a store that cannot be written keeps nothing and says nothing.
func TestNowhere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := Store{Dir: filepath.Join(file, "below"), Most: 1 << 20}
	key := s.key([]byte("program"), nil)
	s.put(key, []byte("code"))
	if got := s.get(key); got != nil {
		t.Errorf("got %q", got)
	}
}
