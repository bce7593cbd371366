// Command gen packs the documents of the AWS managed policies that Kura provides into one compressed
// file, which the identity package embeds. Run it with go generate when the source changes.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
)

type source struct {
	Policies map[string]struct {
		ARN      string          `json:"arn"`
		Version  string          `json:"version"`
		Document json.RawMessage `json:"document"`
	} `json:"policies"`
}

type packed struct{ ARN, Version, Document string }

// written are the policies that the source lacks, as AWS documents them.
var written = []packed{
	{"arn:aws:iam::aws:policy/AWSDenyAll", "v1",
		`{"Version":"2012-10-17","Statement":[{"Sid":"DenyAll","Effect":"Deny","Action":["*"],"Resource":"*"}]}`},
	{"arn:aws:iam::aws:policy/AdministratorAccess", "v1",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`},
	{"arn:aws:iam::aws:policy/PowerUserAccess", "v7",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","NotAction":["iam:*","organizations:*","account:*"],"Resource":"*"},` +
			`{"Effect":"Allow","Action":["account:GetAccountInformation","account:GetGovCloudAccountInformation","account:GetPrimaryEmail","account:ListRegions",` +
			`"iam:CreateServiceLinkedRole","iam:DeleteServiceLinkedRole","iam:ListRoles",` +
			`"organizations:DescribeEffectivePolicy","organizations:DescribeOrganization"],"Resource":"*"}]}`},
}

func main() {
	from := flag.String("from", "", "managed-policies.json")
	to := flag.String("to", "managed.json.gz", "file to write")
	flag.Parse()
	if err := run(*from, *to); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var in source
	if err := json.Unmarshal(text, &in); err != nil {
		return err
	}
	out := append([]packed(nil), written...)
	for name, p := range in.Policies {
		var compact bytes.Buffer
		if err := json.Compact(&compact, p.Document); err != nil {
			return err
		}
		if p.ARN == "" {
			p.ARN = "arn:aws:iam::aws:policy/" + name
		}
		out = append(out, packed{p.ARN, p.Version, compact.String()})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ARN < out[j].ARN })
	var file bytes.Buffer
	zip, err := gzip.NewWriterLevel(&file, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(zip).Encode(out); err != nil {
		return err
	}
	if err := zip.Close(); err != nil {
		return err
	}
	return os.WriteFile(to, file.Bytes(), 0o644)
}
