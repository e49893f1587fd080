package aws

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/wgmesh/router/pkg/cloud"
)

// Instance names the instance.
func (i *Instance) Instance() string { return i.id + " in " + i.region }

// Observe reads the interfaces that are attached to the instance. Those that
// belong to another service of AWS are not ours to set.
func (i *Instance) Observe(ctx context.Context) ([]cloud.Interface, error) {
	in := &ec2.DescribeNetworkInterfacesInput{
		Filters: []types.Filter{{Name: aws.String("attachment.instance-id"), Values: []string{i.id}}},
	}
	var have []cloud.Interface
	for {
		out, err := i.look(ctx, i.Instance(), in)
		if err != nil {
			return nil, err
		}
		have = append(have, ours(i.id, out.NetworkInterfaces)...)
		if aws.ToString(out.NextToken) == "" {
			break
		}
		in.NextToken = out.NextToken
	}
	if len(have) == 0 {
		return nil, fmt.Errorf("%s: no network interface is attached to it; "+
			"check its id, its region and account, and that it was not terminated", i.Instance())
	}
	return cloud.Select(have, i.words, i.Instance())
}

// ours are the interfaces that are attached to the instance id and are not
// managed by a service of AWS.
func ours(id string, all []types.NetworkInterface) []cloud.Interface {
	var out []cloud.Interface
	for _, n := range all {
		a := n.Attachment
		if a == nil || aws.ToString(a.InstanceId) != id || aws.ToBool(n.RequesterManaged) ||
			aws.ToString(n.NetworkInterfaceId) == "" || n.SourceDestCheck == nil {
			continue
		}
		if a.Status == types.AttachmentStatusDetaching || a.Status == types.AttachmentStatusDetached {
			continue
		}
		out = append(out, cloud.Interface{
			ID:         aws.ToString(n.NetworkInterfaceId),
			Primary:    aws.ToInt32(a.DeviceIndex) == 0 && aws.ToInt32(a.NetworkCardIndex) == 0,
			Forwarding: !aws.ToBool(n.SourceDestCheck),
		})
	}
	return out
}

// Rehearse asks with DryRun, which checks permissions and changes nothing.
func (i *Instance) Rehearse(ctx context.Context, id string, forwarding bool) error {
	err := i.ask(ctx, id, forwarding, true)
	if code(err) == "DryRunOperation" {
		return nil
	}
	return err
}

// Set sets the interface and reads it until it agrees: EC2 answers before all of it knows.
func (i *Instance) Set(ctx context.Context, id string, forwarding bool) (changed bool, err error) {
	if err := i.ask(ctx, id, forwarding, false); err != nil {
		return cloud.Unsure(err), err
	}
	return true, i.pace.Until(ctx, func(ctx context.Context) (bool, string, error) {
		out, err := i.look(ctx, id, &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{id}})
		if err != nil {
			return false, "", err
		}
		for _, n := range ours(i.id, out.NetworkInterfaces) {
			if n.ID == id {
				return n.Forwarding == forwarding, fmt.Sprintf("%s: SourceDestCheck was set to %t and still reads %t",
					id, !forwarding, !n.Forwarding), nil
			}
		}
		return false, "", fmt.Errorf("%s: it is no longer attached to %s; run again when the instance has settled", id,
			i.Instance())
	})
}

func (i *Instance) ask(ctx context.Context, id string, forwarding, dry bool) error {
	return i.pace.Try(ctx, i.renew, func(ctx context.Context) error {
		_, err := i.modify(ctx, &ec2.ModifyNetworkInterfaceAttributeInput{
			NetworkInterfaceId: aws.String(id),
			SourceDestCheck:    &types.AttributeBooleanValue{Value: aws.Bool(!forwarding)},
			DryRun:             aws.Bool(dry),
		})
		return wrap(id+": ec2:ModifyNetworkInterfaceAttribute", err)
	})
}

func (i *Instance) look(ctx context.Context, what string,
	in *ec2.DescribeNetworkInterfacesInput,
) (out *ec2.DescribeNetworkInterfacesOutput, err error) {
	err = i.pace.Try(ctx, i.renew, func(ctx context.Context) error {
		out, err = i.describe(ctx, in)
		return wrap(what+": ec2:DescribeNetworkInterfaces", err)
	})
	return out, err
}
