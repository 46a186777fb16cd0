//go:build !linux

package looptest

import "github.com/gatewhy/gatewhy/internal/loop"

func hanging(*rig) (loop.Address, func()) { return loop.Address{}, nil }
func crowded(*rig) (loop.Address, func()) { return loop.Address{}, nil }
