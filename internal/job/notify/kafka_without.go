//go:build !kafka

package notify

import (
	"errors"
	"net/url"

	"github.com/kura-s3/kura/internal/job/delivery"
)

// newKafka: the client is a tenth of the program, and most have no use for it.
func newKafka(delivery.Dial, *url.URL) (broker, error) {
	return nil, errors.New("this kura is built without Kafka: build it with -tags kafka")
}
