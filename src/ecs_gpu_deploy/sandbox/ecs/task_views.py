"""Tasks and container instances of the model, as the API describes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ecs_gpu_deploy.ecs_model.state import Container, Instance, Task
from ecs_gpu_deploy.sandbox.ecs.region import Cluster, EcsRegion
from ecs_gpu_deploy.sandbox.ecs.required_attributes import AGENT_ATTRIBUTES

AGENT = {"agentVersion": "1.99.0", "agentHash": "4ab1051f", "dockerVersion": "DockerVersion: 25.0.13"}
WHOLE = 1.0 - 1e-9


def task_view(region: EcsRegion, cluster: Cluster, task: Task, include: Sequence[str]) -> dict[str, Any]:
    """Describe a task as DescribeTasks does."""
    definition = task.definition
    view: dict[str, Any] = {
        "taskArn": task.arn,
        "clusterArn": cluster.arn,
        "taskDefinitionArn": task.task_definition_arn,
        "containerInstanceArn": task.instance_arn,
        "availabilityZone": task.availability_zone or None,
        "overrides": {"containerOverrides": [], "inferenceAcceleratorOverrides": []} | dict(task.overrides),
        "lastStatus": str(task.last_status),
        "desiredStatus": str(task.desired_status),
        "healthStatus": str(task.health_status),
        "cpu": str(definition.get("cpu") or task.requirement.cpu),
        "memory": str(definition.get("memory") or task.requirement.memory),
        "containers": [container_view(task, container) for container in task.containers],
        "startedBy": task.started_by or None,
        "version": task.version,
        "connectivity": task.connectivity if task.containers else None,
        "connectivityAt": task.connectivity_at,
        "createdAt": task.created_at,
        "pullStartedAt": task.pull_started_at,
        "pullStoppedAt": task.pull_stopped_at,
        "startedAt": task.started_at,
        "stoppingAt": task.stopping_at,
        "executionStoppedAt": task.execution_stopped_at,
        "stoppedAt": task.stopped_at,
        "stopCode": str(task.stop_code) if task.stop_code else None,
        "stoppedReason": task.stopped_reason or None,
        "group": task.group,
        "capacityProviderName": task.capacity_provider,
        "launchType": task.launch_type,
        "attachments": attachments(task),
        "attributes": [{"name": "ecs.cpu-architecture", "value": "x86_64"}],
        "enableExecuteCommand": task.enable_execute_command,
        "inferenceAccelerators": [],
        "tags": region.tags_of(task.arn, include),
    }
    return view


def attachments(task: Task) -> list[dict[str, Any]]:
    """Describe the network interface of an awsvpc task."""
    interface = task.network_interface
    if interface is None:
        return []
    stopped = task.stopped_at is not None
    return [
        {
            "id": interface.attachment_id,
            "type": "ElasticNetworkInterface",
            "status": "DELETED" if stopped else "ATTACHED",
            "details": [
                {"name": "subnetId", "value": interface.subnet_id},
                {"name": "networkInterfaceId", "value": interface.eni_id},
                {"name": "privateIPv4Address", "value": interface.private_ipv4_address},
            ],
        }
    ]


def container_view(task: Task, container: Container) -> dict[str, Any]:
    """Describe a container of a task; CPU and memory are text there."""
    definition = container.definition
    interface = task.network_interface
    reservation = definition.get("memoryReservation")
    return {
        "containerArn": container.arn,
        "taskArn": task.arn,
        "name": container.name,
        "image": container.image,
        "imageDigest": container.image_digest,
        "runtimeId": container.runtime_id,
        "lastStatus": container.last_status,
        "exitCode": container.exit_code,
        "reason": container.reason,
        "networkBindings": [
            {
                "bindIP": binding.bind_ip,
                "containerPort": binding.container_port,
                "hostPort": binding.host_port,
                "protocol": binding.protocol,
            }
            for binding in (() if interface else container.network_bindings)
        ],
        "networkInterfaces": [
            {"attachmentId": interface.attachment_id, "privateIpv4Address": interface.private_ipv4_address}
        ]
        if interface
        else [],
        "healthStatus": str(container.health_status),
        "cpu": str(definition.get("cpu", 0)),
        "memory": str(definition["memory"]) if definition.get("memory") else None,
        "memoryReservation": str(reservation) if reservation else None,
        "gpuIds": list(container.gpu_ids) or None,
        "gpuSharingStrategy": next(
            (
                requirement["sharingStrategy"]
                for requirement in definition.get("resourceRequirements") or ()
                if requirement.get("sharingStrategy")
            ),
            None,
        ),
    }


def instance_view(region: EcsRegion, instance: Instance, include: Sequence[str]) -> dict[str, Any]:
    """Describe a container instance as DescribeContainerInstances does."""
    template = instance.template
    room = instance.room
    used = sorted(room.used_ports)
    reserved = [(port, "tcp") for port in template.reserved_ports]
    whole = min(template.gpu_fraction, WHOLE)
    free_gpus = [gpu for gpu in instance.gpu_ids if room.gpus.get(gpu, 0.0) >= whole]
    view: dict[str, Any] = {
        "containerInstanceArn": instance.arn,
        "ec2InstanceId": instance.ec2_instance_id,
        "capacityProviderName": instance.capacity_provider,
        "version": instance.version,
        "versionInfo": AGENT,
        "remainingResources": resources(
            room.cpu, room.memory, sorted({*reserved, *used}), free_gpus if instance.gpu_ids else None
        ),
        "registeredResources": resources(
            template.cpu, template.memory, reserved, instance.gpu_ids if instance.gpu_ids else None
        ),
        "status": instance.status,
        "agentConnected": instance.agent_connected,
        "runningTasksCount": instance.running_count,
        "pendingTasksCount": instance.pending_count,
        "attributes": instance_attributes(instance),
        "registeredAt": instance.registered_at,
        "attachments": [],
        "tags": region.tags_of(instance.arn, include),
        "gpuDevices": [gpu_device(instance, gpu) for gpu in instance.gpu_ids] or None,
    }
    if "CONTAINER_INSTANCE_HEALTH" in include:
        view["healthStatus"] = health_view(instance, now=region.now)
    return view


def gpu_device(instance: Instance, gpu: str) -> dict[str, Any]:
    """Describe one GPU: idle, one container's own, or shared by MPS with so much memory left (MiB)."""
    room = instance.room
    users = sum(
        gpu in container.gpu_ids
        for task in instance.tasks.values()
        if task.stopped_at is None
        for container in task.containers
    )
    total = instance.template.gpu_memory_mib
    if gpu in room.mps_gpus:
        mode, left = "NVIDIA_MPS", room.gpu_memory.get(gpu, 0)
    else:
        mode, left = ("DEDICATED", 0) if users else ("IDLE", total)
    return {
        "gpuId": gpu,
        "sharingMode": mode,
        "totalMemoryInMiB": total,
        "remainingMemoryInMiB": left,
        "containerCount": users,
    }


def resources(
    cpu: int, memory: int, ports: Sequence[tuple[int, str]], gpus: Sequence[str] | None
) -> list[dict[str, Any]]:
    """List resources as AWS does: numbers as INTEGER, ports in use and GPU ids as STRINGSET."""
    tcp = [str(port) for port, protocol in ports if protocol == "tcp"]
    udp = [str(port) for port, protocol in ports if protocol == "udp"]
    listed = [
        _integer("CPU", cpu),
        _integer("MEMORY", memory),
        _set("PORTS", tcp),
        _set("PORTS_UDP", udp),
    ]
    return listed if gpus is None else [*listed, _set("GPU", gpus)]


def _integer(name: str, value: int) -> dict[str, Any]:
    return {"name": name, "type": "INTEGER", "doubleValue": 0.0, "longValue": 0, "integerValue": value}


def _set(name: str, values: Sequence[str]) -> dict[str, Any]:
    return {
        "name": name,
        "type": "STRINGSET",
        "doubleValue": 0.0,
        "longValue": 0,
        "integerValue": 0,
        "stringSetValue": list(values),
    }


def instance_attributes(instance: Instance) -> list[dict[str, str]]:
    """List an instance's attributes: what its agent can do, where it stands, and custom ones."""
    attributes: Mapping[str, str | None] = {
        **dict.fromkeys(AGENT_ATTRIBUTES),
        "ecs.ami-id": "ami-0gpu0000000000000",
        "ecs.availability-zone": instance.availability_zone,
        "ecs.cpu-architecture": "x86_64",
        "ecs.instance-type": instance.template.instance_type,
        "ecs.os-type": "linux",
        "ecs.os-family": "LINUX",
        **instance.attributes,
    }
    return [
        {"name": name} if value is None else {"name": name, "value": value}
        for name, value in attributes.items()
        if name not in instance.template.missing_attributes
    ]


def health_view(instance: Instance, *, now: float) -> dict[str, Any]:
    """Describe an instance's health: the container runtime, and the agent's connection."""
    checked: tuple[tuple[str, str], ...] = (
        ("CONTAINER_RUNTIME", "OK"),
        ("AGENT_CONNECTIVITY", "OK" if instance.agent_connected else "IMPAIRED"),
    )
    if instance.gpu_ids:
        checked += (("ACCELERATED_COMPUTE", "OK"),)
    details = [
        {"type": kind, "status": status, "lastUpdated": now, "lastStatusChange": instance.registered_at}
        for kind, status in checked
    ]
    impaired = any(status == "IMPAIRED" for _, status in checked)
    return {"overallStatus": "IMPAIRED" if impaired else "OK", "details": details}
