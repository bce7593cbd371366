package iam

import (
	"context"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/iamwire"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/identity"
)

// devices are the operations on virtual MFA devices.
type devices struct{ edge }

func (e devices) ops() []*api.Op {
	return []*api.Op{
		answer(e.edge, &iamwire.CreateVirtualMFADevice, api.Write, created(identity.KindMFA, "VirtualMFADeviceName"), e.createVirtualMFADevice),
		act(e.edge, &iamwire.DeleteVirtualMFADevice, api.Write, device, e.deleteVirtualMFADevice),
		answer(e.edge, &iamwire.ListVirtualMFADevices, api.List, anything, e.listVirtualMFADevices),
		answer(e.edge, &iamwire.ListMFADevices, api.List, userRootOrSelf, e.listMFADevices),
		act(e.edge, &iamwire.EnableMFADevice, api.Write, userRootOrSelf, e.enableMFADevice),
		act(e.edge, &iamwire.ResyncMFADevice, api.Write, userRootOrSelf, e.resyncMFADevice),
		act(e.edge, &iamwire.DeactivateMFADevice, api.Write, userRootOrSelf, e.deactivateMFADevice),
	}
}

// createVirtualMFADevice tells the seed, this once. On the wire it is the base64 of its base32 text.
func (e devices) createVirtualMFADevice(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.CreateVirtualMFADeviceInput) (*iamwire.CreateVirtualMFADeviceOutput, error) {
	d, err := e.identities.CreateVirtualMFADevice(ctx, g, on.Account, on.Name, member.Text(in.Path), tagsOf(in.Tags))
	if err != nil {
		return nil, err
	}
	shown := showDevice(d)
	shown.Base32StringSeed, shown.QRCodePNG = []byte(d.Seed), d.QRCodePNG
	return &iamwire.CreateVirtualMFADeviceOutput{VirtualMFADevice: &shown}, nil
}

func (e devices) deleteVirtualMFADevice(ctx context.Context, g authz.Grant, on identity.Ref, _ *iamwire.DeleteVirtualMFADeviceInput) error {
	return e.identities.DeleteVirtualMFADevice(ctx, g, on.Account, on.Name)
}

func (e devices) listVirtualMFADevices(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListVirtualMFADevicesInput) (*iamwire.ListVirtualMFADevicesOutput, error) {
	l, err := e.identities.ListVirtualMFADevices(ctx, g, on.Account, string(in.AssignmentStatus), pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	out := &iamwire.ListVirtualMFADevicesOutput{VirtualMFADevices: []iamwire.VirtualMFADevice{}, IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker)}
	for _, d := range l.Items {
		shown := showDevice(d)
		if d.Root {
			shown.User = rootUser(on.Account)
		}
		out.VirtualMFADevices = append(out.VirtualMFADevices, shown)
	}
	return out, nil
}

func (e devices) listMFADevices(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ListMFADevicesInput) (*iamwire.ListMFADevicesOutput, error) {
	l, err := e.identities.ListMFADevices(ctx, g, on.Account, on.Name, pageOf(in.Marker, in.MaxItems))
	if err != nil {
		return nil, err
	}
	show := func(d *identity.VirtualMFADevice) iamwire.MFADevice {
		return iamwire.MFADevice{UserName: new(on.Name), SerialNumber: new(d.SerialNumber), EnableDate: member.At(d.EnableDate)}
	}
	return &iamwire.ListMFADevicesOutput{MFADevices: member.Every(l.Items, show), IsTruncated: new(l.IsTruncated), Marker: member.Given(l.Marker)}, nil
}

func (e devices) enableMFADevice(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.EnableMFADeviceInput) error {
	return e.identities.EnableMFADevice(ctx, g, on.Account, on.Name, member.Text(in.SerialNumber), member.Text(in.AuthenticationCode1), member.Text(in.AuthenticationCode2))
}

func (e devices) resyncMFADevice(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.ResyncMFADeviceInput) error {
	return e.identities.ResyncMFADevice(ctx, g, on.Account, on.Name, member.Text(in.SerialNumber), member.Text(in.AuthenticationCode1), member.Text(in.AuthenticationCode2))
}

func (e devices) deactivateMFADevice(ctx context.Context, g authz.Grant, on identity.Ref, in *iamwire.DeactivateMFADeviceInput) error {
	return e.identities.DeactivateMFADevice(ctx, g, on.Account, on.Name, member.Text(in.SerialNumber))
}
