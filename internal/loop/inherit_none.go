//go:build !unix

package loop

import (
	"errors"
	"os"
)

func listensOn(*os.File) (Address, error) { return Address{}, errors.ErrUnsupported }
