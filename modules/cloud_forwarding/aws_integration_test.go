//go:build integration

package cloudforwarding_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wgmesh/router/internal/fakecloud/moto"
)

// checkOf is the source/destination check of an interface.
func checkOf(t *testing.T, m moto.Server, eni string) string {
	return m.Ask(t, "sourceDestCheck", "Action", "DescribeNetworkInterfaces", "NetworkInterfaceId.1", eni)
}

// One instance with two interfaces, and another one, by moto.
func TestAWSByMoto(t *testing.T) {
	f := newAWS(t) // for its environment and metadata service
	m := moto.Start(t, "../../build/venv-moto", "eu-west-1")
	image := m.Ask(t, "imageId", "Action", "DescribeImages", "Owner.1", "amazon")
	subnet := m.Ask(t, "subnetId", "Action", "DescribeSubnets")
	vm := m.Ask(t, "instanceId", "Action", "RunInstances", "ImageId", image, "MinCount", "1",
		"MaxCount", "1", "SubnetId", subnet)
	other := m.Ask(t, "instanceId", "Action", "RunInstances", "ImageId", image, "MinCount", "1",
		"MaxCount", "1", "SubnetId", subnet)
	of := func(instance string) string {
		return m.Ask(t, "networkInterfaceId", "Action", "DescribeNetworkInterfaces",
			"Filter.1.Name", "attachment.instance-id", "Filter.1.Value.1", instance)
	}
	first, foreign := of(vm), of(other)
	second := m.Ask(t, "networkInterfaceId", "Action", "CreateNetworkInterface", "SubnetId", subnet)
	m.Ask(t, "attachmentId", "Action", "AttachNetworkInterface", "NetworkInterfaceId", second,
		"InstanceId", vm, "DeviceIndex", "1")
	o := options{
		"instance_id": vm, "region": "eu-west-1", "api_endpoint": m.URL,
		"metadata_endpoint": f.IMDS.URL, "timeout": 120,
	}

	t.Run("a reader", func(t *testing.T) {
		m.User(t, "reader", `"ec2:DescribeNetworkInterfaces"`)
		m.Enforce(t, true)
		defer m.Enforce(t, false)
		result := task.Run(t, o.And(check))
		require.Len(t, result["warnings"], 2, "%v", result)
		assert.Contains(t, result["warnings"].([]any)[0],
			"the permission ec2:ModifyNetworkInterfaceAttribute is missing")
		assert.Contains(t, task.FailsUnchanged(t, o), "the permission ec2:ModifyNetworkInterfaceAttribute is missing")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
		assert.Contains(t, task.Fails(t, o), "AWS does not accept the credentials")
	})
	t.Run("a router", func(t *testing.T) {
		assert.Equal(t, "true", checkOf(t, m, first))
		m.User(t, "router", `"ec2:DescribeNetworkInterfaces", "ec2:ModifyNetworkInterfaceAttribute"`)
		m.Enforce(t, true)
		result := task.Run(t, o.And(check))
		assert.Equal(t, true, result["changed"], "%v", result)
		assert.NotContains(t, result, "warnings")
		m.Enforce(t, false)
		assert.Equal(t, "true", checkOf(t, m, first))
		m.Enforce(t, true)

		result = task.Run(t, o)
		require.NotContains(t, result, "failed", "%v", result["msg"])
		assert.Len(t, result["done"], 2)
		assert.Equal(t, true, result["verified"])
		assert.Equal(t, false, task.Run(t, o)["changed"])
		m.Enforce(t, false)
		assert.Equal(t, []string{"false", "false", "true"}, []string{
			checkOf(t, m, first), checkOf(t, m, second), checkOf(t, m, foreign),
		})
	})
}
