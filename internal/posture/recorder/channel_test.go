package recorder

import (
	"context"
	"testing"
)

// hooked is a Delivery during which something else happens.
type hooked struct {
	anywhere
	meanwhile func(c *Channel)
}

func (h hooked) Put(_ context.Context, c *Channel, _, _ string, _ []byte) error {
	h.meanwhile(c)
	return nil
}

// TestAChannelIsAsItWasPut: files are delivered as the channel says, and a delivery that is on its way
// neither undoes a change of the channel nor brings back one that was deleted.
func TestAChannelIsAsItWasPut(t *testing.T) {
	s := newWorld(t).open(t)
	start(t, s)
	key := "arn:aws:kms:us-east-1:" + account + ":key/k"
	if err := s.PutChannel(t.Context(), all(t), account, Channel{Bucket: "logs", KMSKey: key}); err != nil {
		t.Fatal(err)
	}
	s.deliver = hooked{meanwhile: func(c *Channel) {
		if c.KMSKey != key || c.Account != account || c.Bucket != "logs" {
			t.Errorf("delivered as %+v", c)
		}
		s.deliver = anywhere{}
		if err := s.PutChannel(t.Context(), all(t), account, Channel{Bucket: "other"}); err != nil {
			t.Error(err)
		}
	}}
	if _, err := s.DeliverSnapshot(t.Context(), all(t), account, "default"); err != nil {
		t.Fatal(err)
	}
	if c, err := s.Channel(all(t), "config:DescribeDeliveryChannels", account); err != nil || c.Bucket != "other" || c.KMSKey != "" {
		t.Fatalf("the channel is %+v, %v", c, err)
	}
	s.deliver = hooked{meanwhile: func(*Channel) {
		if err := s.StopRecorder(t.Context(), all(t), account, "default"); err != nil {
			t.Error(err)
		}
		if err := s.DeleteChannel(t.Context(), all(t), account, "default"); err != nil {
			t.Error(err)
		}
	}}
	if _, err := s.DeliverSnapshot(t.Context(), all(t), account, "default"); err != nil {
		t.Fatal(err)
	}
	if c, err := s.Channel(all(t), "config:DescribeDeliveryChannels", account); err != nil || c != nil {
		t.Errorf("the channel is there again: %+v, %v", c, err)
	}
}
