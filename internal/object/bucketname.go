package object

import (
	"net/netip"
	"strings"

	"github.com/kura-s3/kura/internal/fault"
)

var (
	reservedPrefixes = []string{"xn--", "sthree-", "amzn-s3-demo-"}
	reservedSuffixes = []string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"}
)

// CheckBucketName applies S3's rules for names of general purpose buckets.
func CheckBucketName(name string) error {
	if validBucketName(name) {
		return nil
	}
	return fault.New(InvalidBucketName, "", "BucketName", name)
}

func validBucketName(name string) bool {
	if len(name) < 3 || len(name) > 63 || strings.Contains(name, "..") {
		return false
	}
	const alphanumeric = "abcdefghijklmnopqrstuvwxyz0123456789"
	if strings.Trim(name, alphanumeric+"-.") != "" || strings.Trim(name[:1]+name[len(name)-1:], alphanumeric) != "" {
		return false
	}
	for _, p := range reservedPrefixes {
		if strings.HasPrefix(name, p) {
			return false
		}
	}
	for _, p := range reservedSuffixes {
		if strings.HasSuffix(name, p) {
			return false
		}
	}
	return !addressShaped(name)
}

// addressShaped tells whether name is four numbers, as an IPv4 address is written.
func addressShaped(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	labels := strings.Split(name, ".")
	if len(labels) != 4 {
		return false
	}
	for _, l := range labels {
		if l == "" || len(l) > 3 || strings.Trim(l, "0123456789") != "" {
			return false
		}
	}
	return true
}
