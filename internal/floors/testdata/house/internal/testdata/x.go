package skip

import _ "never"
