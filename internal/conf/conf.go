// Package conf is the language of gatewhy.yaml: strict YAML with positions, and
// problems that say where, what and how to mend it.
//
// [Load] reads files into a tree of [Node], [Decode] reads the tree into option
// structs and remembers where each value came from. Both put what they dislike
// into a [Report] and go on, so that one run tells all problems. The package
// knows no option: what a gateway can be told is the business of package config.
//
// The YAML library gives the bare tree and the first error of a file. Everything
// that a person reads is made here. Start with parse.go, then decode.go.
package conf

// The limits of what is read. Whatever a file holds, reading it ends soon and
// takes memory in proportion to its size.
const (
	// MaxFile is the size of one file in bytes: four times what 10 000 sites need.
	MaxFile = 4 << 20
	// MaxFiles bounds the files of one configuration: a file for each site of a
	// large shared host.
	MaxFiles = 10_000
	// MaxIncludes is how deep files include files. Two levels are a plan, eight
	// are a maze.
	MaxIncludes = 8
	// MaxDepth is how deep values nest. The deepest that means anything has about
	// ten levels.
	MaxDepth = 64
	// MaxNodes bounds the values of one configuration with its aliases expanded: a
	// few lines of aliases to aliases would otherwise be more than a machine can hold.
	MaxNodes = 1 << 20
	// MaxProblems is how many problems a report keeps. Who has more wants to see the
	// first ones; the others are counted.
	MaxProblems = 100
	// maxMends is how many mistakes of the YAML itself are mended in memory, so that
	// the rest of the file is read too. Each costs another reading of the file.
	maxMends = 20
	// maxSecret is the size of a file that NAME_FILE points to: a secret is a line.
	maxSecret = 64 << 10
)
