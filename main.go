// Gatewhy is a gateway whose every 502 explains itself.
package main

import (
	"context"
	"os"

	"github.com/gatewhy/gatewhy/internal/cli"
)

func main() { os.Exit(cli.Main(context.Background(), os.Args[1:])) }
