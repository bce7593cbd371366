package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// model is a botocore service-2.json, as far as it is of use here.
type model struct {
	Metadata struct {
		APIVersion   string `json:"apiVersion"`
		Protocol     string `json:"protocol"`
		JSONVersion  string `json:"jsonVersion"`
		TargetPrefix string `json:"targetPrefix"`
		XMLNamespace string `json:"xmlNamespace"`
	} `json:"metadata"`
	Operations map[string]*operation `json:"operations"`
	Shapes     map[string]*shape     `json:"shapes"`
}

type operation struct {
	HTTP struct {
		Method       string `json:"method"`
		RequestURI   string `json:"requestUri"`
		ResponseCode int    `json:"responseCode"`
	} `json:"http"`
	Input        *ref `json:"input"`
	Output       *ref `json:"output"`
	HTTPChecksum struct {
		Required bool `json:"requestChecksumRequired"`
	} `json:"httpChecksum"`
	ChecksumRequired bool `json:"httpChecksumRequired"`
}

// ref is the use of a shape: as a member, element, input or output.
type ref struct {
	Shape           string        `json:"shape"`
	Location        string        `json:"location"`
	LocationName    string        `json:"locationName"`
	Flattened       bool          `json:"flattened"`
	Streaming       bool          `json:"streaming"`
	XMLAttribute    bool          `json:"xmlAttribute"`
	TimestampFormat string        `json:"timestampFormat"`
	ResultWrapper   string        `json:"resultWrapper"`
	XMLNamespace    *xmlNamespace `json:"xmlNamespace"`
}

type xmlNamespace struct {
	Prefix string `json:"prefix"`
	URI    string `json:"uri"`
}

type shape struct {
	Type            string        `json:"type"`
	Members         orderedRefs   `json:"members"`
	Required        []string      `json:"required"`
	Payload         string        `json:"payload"`
	Member          *ref          `json:"member"`
	Key             *ref          `json:"key"`
	Value           *ref          `json:"value"`
	Flattened       bool          `json:"flattened"`
	Enum            []string      `json:"enum"`
	Min             *json.Number  `json:"min"`
	Max             *json.Number  `json:"max"`
	Pattern         string        `json:"pattern"`
	TimestampFormat string        `json:"timestampFormat"`
	Sensitive       bool          `json:"sensitive"`
	Streaming       bool          `json:"streaming"`
	EventStream     bool          `json:"eventstream"`
	LocationName    string        `json:"locationName"`
	XMLNamespace    *xmlNamespace `json:"xmlNamespace"`
	Exception       bool          `json:"exception"`
	Fault           bool          `json:"fault"`
	Synthetic       bool          `json:"synthetic"`
	Error           *struct {
		Code           string `json:"code"`
		HTTPStatusCode int    `json:"httpStatusCode"`
		SenderFault    bool   `json:"senderFault"`
	} `json:"error"`
}

// namedRef is a member with its name.
type namedRef struct {
	Name string
	*ref
}

// orderedRefs keeps the order of a JSON object: the order of members is the order of elements.
type orderedRefs []namedRef

// UnmarshalJSON implements json.Unmarshaler.
func (o *orderedRefs) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		r := new(ref)
		if err := d.Decode(r); err != nil {
			return err
		}
		*o = append(*o, namedRef{name.(string), r})
	}
	return nil
}

// readModel reads the newest version of a service's model.
func readModel(dir, service string) (*model, error) {
	found, err := filepath.Glob(filepath.Join(dir, service, "*", "service-2.json*"))
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no model of %s in %s", service, dir)
	}
	slices.Sort(found)
	newest := found[len(found)-1]
	f, err := os.Open(newest)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var in io.Reader = f
	if strings.HasSuffix(newest, ".gz") {
		if in, err = gzip.NewReader(f); err != nil {
			return nil, err
		}
	}
	m := new(model)
	return m, json.NewDecoder(in).Decode(m)
}
