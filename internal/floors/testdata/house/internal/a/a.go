package a

import _ "net"
