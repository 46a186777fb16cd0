package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gatewhy/gatewhy/internal/conf"
	"github.com/gatewhy/gatewhy/internal/config"
)

// The files that are looked for if none is named: one of this directory, then
// the system's.
var configFiles = []string{"gatewhy.yaml", "/etc/gatewhy/gatewhy.yaml"}

// stdinName is what messages call standard input, which is - on a command line.
const stdinName = "<stdin>"

func stdin(path string) string {
	if path == "-" {
		return stdinName
	}
	return path
}

// configArguments are the flags and the argument of commands that read one
// configuration.
type configArguments struct {
	file  string
	plain bool
	json  bool
}

func (a *configArguments) addTo(c *cobra.Command) {
	c.Flags().StringVarP(&a.file, "config", "c", "", "the configuration `FILE`, - for standard input; GATEWHY_CONFIG, gatewhy.yaml or /etc/gatewhy/gatewhy.yaml unless set")
	c.Flags().BoolVar(&a.json, "json", false, "as JSON")
	c.Flags().BoolVar(&a.plain, "plain", false, "no colour")
	c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
	}
}

// path is the configuration that the command line means.
func (e *env) configPath(a *configArguments, args []string) (string, error) {
	if len(args) > 0 && a.file != "" {
		return "", misused(errors.New("the configuration is named twice"), "as an argument or with -c")
	}
	if len(args) > 0 {
		return stdin(args[0]), nil
	}
	if a.file == "" {
		a.file = e.getenv(variable("config"))
	}
	if a.file != "" {
		return stdin(a.file), nil
	}
	for _, f := range configFiles {
		if _, err := os.Stat(f); !errors.Is(err, fs.ErrNotExist) {
			return f, nil
		}
	}
	return "", failed(fmt.Errorf("there is no %s here, nor %s", configFiles[0], configFiles[1]), "name a file: gatewhy check FILE")
}

// files are those of this machine; the one called stdinName is standard input.
type files struct {
	conf.Disk
	in    io.Reader
	read  bool
	input []byte
}

// Read implements conf.Files.
func (f *files) Read(path string) ([]byte, error) {
	if path != stdinName {
		return f.Disk.Read(path)
	}
	if !f.read {
		f.read = true
		b, err := io.ReadAll(io.LimitReader(f.in, conf.MaxFile+1))
		if err != nil {
			return nil, err
		}
		f.input = b
	}
	return f.input, nil
}

// source is what a configuration at a path is read from. Settings of flags, if
// there are some, and of the environment win over the file.
func (e *env) source(path string, flags *pflag.FlagSet) config.Source {
	return config.Source{
		Path: path, Files: &files{in: e.in},
		Env: func(name string) (string, bool) { v := e.getenv(name); return v, v != "" },
		Set: e.settings(flags),
	}
}

// settings tells what flags and the environment set.
func (e *env) settings(flags *pflag.FlagSet) func(string) (string, conf.Origin, bool) {
	return func(name string) (string, conf.Origin, bool) {
		if flags != nil {
			if f := flags.Lookup(name); f != nil && f.Changed {
				return f.Value.String(), conf.Origin{Kind: conf.Flag, Name: "--" + name}, true
			}
		}
		if v := e.getenv(variable(name)); v != "" {
			return v, conf.Origin{Kind: conf.Env, Name: variable(name)}, true
		}
		return "", conf.Origin{}, false
	}
}

// load reads a configuration for a command whose work is another: its problems
// are talk, and errors end it.
func (e *env) load(path string, flags *pflag.FlagSet, plain bool) (*config.Loaded, error) {
	l := config.Load(e.source(path, flags))
	return l, e.tell(l, path, plain)
}

// tell prints the problems of a configuration as talk, and fails if there are
// errors.
func (e *env) tell(l *config.Loaded, path string, plain bool) error {
	if len(l.Report.Problems) == 0 {
		return nil
	}
	l.Report.Render(e.err, e.ink(e.errTTY, plain).on)
	if !l.Report.Failed() {
		return nil
	}
	fmt.Fprintln(e.err, l.Report.Summary(path))
	return problemsCode(l, path)
}

// problemsCode is the end of a command that found errors in a configuration: one
// that cannot be read at all is no matter of what it says.
func problemsCode(l *config.Loaded, path string) error {
	for _, p := range l.Report.Problems {
		if p.Name == "cannot_read" && !p.At.Valid() && p.Where == path {
			return &codeError{code: cannotRun}
		}
	}
	return &codeError{code: faultFound}
}

// replace writes a file anew, whole or not at all, with the mode it had. Where it
// is a link the file behind it is written.
func replace(path string, text []byte) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	fi, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".gatewhy-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing is there any more if all went well
	_, err = f.Write(text)
	if err == nil {
		err = f.Chmod(fi.Mode().Perm())
	}
	if err == nil {
		err = keepOwner(f, fi)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
