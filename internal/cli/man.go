package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gatewhy/gatewhy/internal/config"
)

// manDate is the day on the pages: that of the version, so that they are the same
// whenever they are made.
const manDate = "2026-11-26"

func (e *env) man() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages into a directory",
		Long: "Write the manual pages into a directory: gatewhy(1), one for each command, and\n" +
			"gatewhy.yaml(5), all keys of a configuration.",
		Example: "  gatewhy man /usr/local/share/man/man1",
		Args:    arguments(cobra.ExactArgs(1), "one directory"),
		RunE: func(c *cobra.Command, args []string) error {
			for name, page := range manual(c.Root()) {
				if err := os.MkdirAll(args[0], 0o755); err != nil {
					return failed(err, "")
				}
				if err := os.WriteFile(filepath.Join(args[0], name), []byte(page), 0o644); err != nil {
					return failed(err, "")
				}
			}
			return nil
		},
	}
}

// manual are the pages by the names of their files.
func manual(root *cobra.Command) map[string]string {
	pages := map[string]string{"gatewhy.yaml.5": keysPage()}
	var each func(c *cobra.Command)
	each = func(c *cobra.Command) {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
			return
		}
		pages[pageName(c)+".1"] = commandPage(c)
		for _, below := range c.Commands() {
			each(below)
		}
	}
	each(root)
	return pages
}

func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// roff is text that means itself in man(7).
var roff = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`)

// page writes a manual page.
type page struct{ strings.Builder }

// text writes lines of text; one that begins with a dot would be a request.
func (p *page) text(s string) {
	for line := range strings.Lines(s) {
		line = roff.Replace(strings.TrimRight(line, "\n"))
		if strings.HasPrefix(line, ".") {
			line = `\&` + line
		}
		p.WriteString(line + "\n")
	}
}

func (p *page) head(title, section, what string) {
	fmt.Fprintf(p, ".TH %s %s %s \"gatewhy %s\" \"Gatewhy\"\n.SH NAME\n", roff.Replace(strings.ToUpper(title)), section, manDate, number)
	p.text(title + " - " + what)
}

// asIs writes lines that stay as they are.
func (p *page) asIs(s string) {
	p.WriteString(".nf\n")
	p.text(s)
	p.WriteString(".fi\n")
}

func commandPage(c *cobra.Command) string {
	p := &page{}
	p.head(pageName(c), "1", c.Short)
	p.WriteString(".SH SYNOPSIS\n.B ")
	p.text(c.UseLine())
	p.WriteString(".SH DESCRIPTION\n")
	about := c.Long
	if about == "" {
		about = c.Short + "."
	}
	p.asIs(about)
	c.InitDefaultHelpFlag()
	flags := c.Flags()
	if flags.HasAvailableFlags() {
		p.WriteString(".SH OPTIONS\n")
		flags.VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				p.flag(f)
			}
		})
	}
	if c.Example != "" {
		p.WriteString(".SH EXAMPLES\n")
		p.asIs(c.Example)
	}
	p.WriteString(".SH SEE ALSO\n")
	var also []string
	if c.HasParent() {
		also = append(also, `.BR `+roff.Replace(pageName(c.Parent()))+" (1)")
	}
	for _, below := range c.Commands() {
		if !below.Hidden && below.Name() != "help" && below.Name() != "completion" {
			also = append(also, `.BR `+roff.Replace(pageName(below))+" (1)")
		}
	}
	p.WriteString(strings.Join(append(also, `.BR gatewhy.yaml (5)`), ",\n") + "\n")
	return p.String()
}

func (p *page) flag(f *pflag.Flag) {
	name, usage := pflag.UnquoteUsage(f)
	p.WriteString(".TP\n")
	if f.Shorthand != "" {
		p.WriteString(`\fB\-` + f.Shorthand + `\fR, `)
	}
	p.WriteString(`\fB\-\-` + roff.Replace(f.Name) + `\fR`)
	if name != "" {
		p.WriteString(` \fI` + roff.Replace(name) + `\fR`)
	}
	p.WriteString("\n")
	if usage = strings.ToUpper(usage[:min(1, len(usage))]) + usage[min(1, len(usage)):]; f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "[]" {
		usage += " (default " + f.DefValue + ")"
	}
	p.text(usage + ".")
}

// keysPage is gatewhy.yaml(5), made of the page of all keys.
func keysPage() string {
	p := &page{}
	p.head("gatewhy.yaml", "5", "the configuration of gatewhy")
	p.WriteString(".SH DESCRIPTION\n")
	p.text("The configuration of\n")
	p.WriteString(".BR gatewhy\\-run (1):\n")
	p.text("YAML, where a key that may be left away has (short) behind its name: where a value stands that is no map, it is that key's.\n" +
		"Where a key has a setting, GATEWHY_NAME in the environment wins over the file, and the flag over both.\n")
	plain := strings.NewReplacer("`", "", "**", "", `\|`, "|")
	for line := range strings.Lines(string(config.Reference())) {
		line = strings.TrimSpace(line)
		if title, ok := strings.CutPrefix(line, "## "); ok {
			p.WriteString(".SH " + roff.Replace(strings.ToUpper(title[:1])+title[1:]) + "\n")
			continue
		}
		cells := strings.Split(strings.Trim(strings.ReplaceAll(line, `\|`, "\x00"), "|"), "|")
		if len(cells) != 4 || !strings.Contains(cells[0], "`") {
			continue
		}
		for i, c := range cells {
			cells[i] = strings.TrimSpace(plain.Replace(strings.ReplaceAll(c, "\x00", "|")))
		}
		short := ""
		if strings.Contains(line[:strings.Index(line[1:], "|")+1], "**") {
			short = " (short)"
		}
		p.WriteString(".TP\n\\fB" + roff.Replace(cells[0]) + "\\fR" + short + "\n")
		p.text(cells[2])
		switch cells[1] {
		case "":
		case "must be there":
			p.text("It must be there.")
		default:
			p.text("Default: " + cells[1] + ".")
		}
		if cells[3] != "" {
			p.text("Setting: " + cells[3] + ".")
		}
	}
	p.WriteString(".SH SEE ALSO\n.BR gatewhy (1),\n.BR gatewhy\\-check (1),\n.BR gatewhy\\-schema (1)\n")
	return p.String()
}
