package pyworker

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// roleVariable makes the test binary play another program than the tests.
const roleVariable = "CPR_BATCH_TEST_ROLE"

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVariable); role {
	case "":
		goleak.VerifyTestMain(m)
	case "reaper":
		if err := RunReaper(Lifeline()); err != nil {
			os.Exit(1)
		}
	case "reaped":
		playReaped()
	case "hostile":
		playHostile()
	default:
		fmt.Fprintf(os.Stderr, "no role %q\n", role)
		os.Exit(1)
	}
}
