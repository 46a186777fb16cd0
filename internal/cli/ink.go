package cli

import "os"

// ink colours words on a terminal that likes colours.
type ink struct{ on bool }

// ink is for a stream that is or is not a terminal. NO_COLOR (no-color.org) and
// TERM=dumb win over everything but CLICOLOR_FORCE; plain wins over all.
func (e *env) ink(tty, plain bool) ink {
	switch {
	case plain:
		return ink{false}
	case e.getenv("CLICOLOR_FORCE") != "" && e.getenv("CLICOLOR_FORCE") != "0":
		return ink{true}
	case e.getenv("NO_COLOR") != "", e.getenv("TERM") == "dumb":
		return ink{false}
	}
	return ink{tty}
}

func (i ink) paint(code, s string) string {
	if !i.on || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (i ink) bold(s string) string   { return i.paint("1", s) }
func (i ink) dim(s string) string    { return i.paint("2", s) }
func (i ink) red(s string) string    { return i.paint("31", s) }
func (i ink) green(s string) string  { return i.paint("32", s) }
func (i ink) yellow(s string) string { return i.paint("33", s) }

// terminal reports whether f is one. A character device alone is not enough:
// /dev/null is one too.
func terminal(f *os.File) bool {
	fi, err := f.Stat()
	return err == nil && fi.Mode()&os.ModeCharDevice != 0 && isatty(f)
}
