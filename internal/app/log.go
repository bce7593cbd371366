package app

import (
	"io"
	"log/slog"
	"strings"

	"github.com/kura-s3/kura/internal/config"
)

// newLog makes the log. Attributes whose name says that they hold a secret are never written, so
// that a careless line costs nothing.
func newLog(w io.Writer, c *config.Config) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.LogLevel, ReplaceAttr: redact}
	if c.LogJSON {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

var secretNames = []string{"secret", "password", "passphrase", "token", "authorization", "signature", "credential"}

func redact(_ []string, a slog.Attr) slog.Attr {
	name := strings.ToLower(a.Key)
	for _, s := range secretNames {
		if strings.Contains(name, s) {
			return slog.String(a.Key, "REDACTED")
		}
	}
	return a
}
